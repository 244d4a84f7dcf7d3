"""The plan of a reload: all that changes is in it, as data and in words."""

import pytest

from stonechat.core.config import BrokenPlugin, load_configuration, load_configuration_text
from stonechat.core.config_plan import OnHost, Plan, plan_reload
from stonechat.options import REQUIRED, Duration, PluginOptions, SecretFile, option

HOSTS = "hosts: {capulet.example: {}, montague.example: {}}\n"


class Muc(PluginOptions):
    history_length: int = option(20, "Messages shown to a newcomer.")
    kick_after: Duration = option("10 min", "Silence of an occupant.")
    title: str = option("", "What the service is called.")


class Redis(PluginOptions):
    url: str = option(REQUIRED, "Where Redis is.", hidden=True)
    secret_file: SecretFile | None = option(None, "What nodes know each other by.")


class Rebuilt(PluginOptions):
    history_length: int = option(20, "Messages shown to a newcomer.")


def load(text, **plugins):
    def resolve(kind, name):
        if plugins.get(name) is BrokenPlugin:
            raise BrokenPlugin(f"{name} cannot be loaded")
        return {"muc": Muc, "redis": Redis, "ping": PluginOptions, **plugins}.get(
            name, PluginOptions
        )

    return load_configuration_text(text, "stonechat.yaml", resolve)


def plan(old, new) -> Plan:
    return plan_reload(load(old), load(new))


def test_the_same_configuration_changes_nothing():
    text = HOSTS + "plugins: {muc: {kick_after: 600}}\nlimits: {rate: 1 KiB/s}\n"
    same = plan(text, text.replace("600", "10 min").replace("1 KiB/s", "1024"))
    assert not same
    assert same == Plan()


def test_hosts_come_and_go():
    change = plan(
        "hosts: {capulet.example: {}}\nplugins: {muc: {}}",
        "hosts: {montague.example: {}}\nplugins: {muc: {}}",
    )
    assert change.hosts_removed == ("capulet.example",)
    assert change.hosts_added == ("montague.example",)
    assert change.plugins_enabled == change.plugins_disabled == ()
    assert change.text == (
        "host capulet.example is removed, its sessions end",
        "host montague.example is added, with muc",
    )


def test_plugins_are_switched_on_and_off_per_host():
    change = plan(
        "hosts: {capulet.example: {plugins: {ping: {}}}, montague.example: {}}",
        "hosts: {capulet.example: {}, montague.example: {plugins: {ping: {}}}}",
    )
    assert change.plugins_disabled == (OnHost("capulet.example", "ping"),)
    assert change.plugins_enabled == (OnHost("montague.example", "ping"),)
    assert change.text == (
        "capulet.example: plugin ping is switched off",
        "montague.example: plugin ping is switched on",
    )


def test_a_change_for_all_hosts_is_told_once_and_done_everywhere():
    change = plan(
        HOSTS + "plugins: {muc: {}}",
        HOSTS + "plugins: {muc: {history_length: 30, kick_after: 90}}",
    )
    assert change.plugins_reconfigured == (
        OnHost("capulet.example", "muc"),
        OnHost("montague.example", "muc"),
        OnHost("", "muc"),
    )
    assert change.text == (
        "every host: plugin muc: history_length 20 -> 30; kick_after 10 min -> 90 s",
    )


def test_a_change_at_the_top_that_no_host_has_is_told_for_the_node():
    hosts = "hosts: {capulet.example: {plugins: {muc: {history_length: 5}}}}\n"
    change = plan(hosts + "plugins: {muc: {}}", hosts + "plugins: {muc: {history_length: 30}}")
    assert change.plugins_reconfigured == (OnHost("", "muc"),)
    assert change.text == ("node: plugin muc: history_length 20 -> 30",)


def test_a_long_list_of_hosts_is_cut_and_so_is_a_long_value():
    names = [f"{name}.example" for name in ("capulet", "montague", "escalus", "paris", "friar")]
    old = "".join(f"  {name}: {{plugins: {{muc: {{}}}}}}\n" for name in [*names, "nurse.example"])
    new = old.replace("muc: {}", f"muc: {{title: {'x' * 100}}}", 5)
    [line] = plan("hosts:\n" + old, "hosts:\n" + new).text
    assert line == (
        "capulet.example, montague.example, escalus.example and 2 more: plugin muc:"
        f' title "" -> {"x" * 60}…'
    )


def test_a_plugin_that_can_be_loaded_again_is_told():
    text = HOSTS + "plugins: {muc: {}}"
    broken, whole = load(text, muc=BrokenPlugin), load(text)
    mended = plan_reload(broken, whole)
    assert OnHost("capulet.example", "muc") in mended.plugins_reconfigured
    assert mended.text == ("every host: plugin muc: can be loaded now",)
    assert plan_reload(whole, broken).text == ("every host: plugin muc: muc cannot be loaded",)


def test_a_plugin_of_another_version_is_started_anew():
    text = HOSTS + "plugins: {muc: {}}"
    change = plan_reload(load(text), load(text, muc=Rebuilt))
    assert OnHost("montague.example", "muc") in change.plugins_reconfigured


def test_what_a_host_decides_is_told():
    change = plan(
        "hosts:\n  capulet.example:\n    language: en\n    auth: [internal, ldap]\n"
        "    access: {admin: {any: true}}\n    plugins: {muc: {}}\n",
        "hosts:\n  capulet.example:\n    language: it\n    auth: [ldap]\n"
        "    access: {announce: {any: true}}\n    plugins: {muc: {required: true}}\n",
    )
    assert change.hosts_changed == ("capulet.example",)
    assert change.plugins_reconfigured == ()
    assert change.text == (
        "capulet.example: auth [internal, ldap] -> [ldap]",
        "capulet.example: access rule admin is removed, so nobody has it",
        "capulet.example: access rule announce is added",
        "capulet.example: language en -> it",
        "capulet.example: plugin muc is now required",
    )


def test_options_of_an_auth_backend_are_told():
    text = HOSTS + "auth: [muc]\nauth_options: {muc: {history_length: 1}}"
    change = plan(text, text.replace("1}", "2}"))
    assert change.hosts_changed == ("capulet.example", "montague.example")
    assert change.text == ("every host: auth muc: history_length 1 -> 2",)


def test_a_global_rule_is_told_for_the_hosts_that_it_holds_on():
    old = "hosts: {capulet.example: {}, montague.example: {access: {admin: {any: true}}}}\n"
    change = plan(old + "access: {admin: {}}", old + "access: {admin: {hosts: [a.example]}}")
    assert change.hosts_changed == ("capulet.example",)
    assert change.settings_changed == ("access",)
    assert change.text == ("capulet.example: access rule admin: hosts [] -> [a.example]",)


def test_only_listeners_that_changed_are_touched():
    change = plan(
        HOSTS + "listen: [{type: c2s, port: 1}, {type: c2s, port: 2}, {type: c2s, port: 0}]",
        HOSTS + "listen: [{type: c2s, port: 0}, {type: c2s, port: 1, tls: direct},"
        " {type: c2s, port: 0}, {type: c2s, port: 3}]",
    )
    assert [listener.port for listener in change.listeners_closed] == [2]
    assert [listener.port for listener in change.listeners_opened] == [0, 3]
    [(old, new)] = change.listeners_changed
    assert (old.port, old.tls, new.port, new.tls) == (1, "off", 1, "direct")
    assert change.text == (
        "c2s listener on port 2 of :: is closed",
        "c2s listener on port 1 of ::: tls off -> direct",
        "c2s listener on port 0 of :: is opened",
        "c2s listener on port 3 of :: is opened",
    )


def test_a_limit_changes_the_listeners_that_take_it():
    change = plan(HOSTS, HOSTS + "limits: {rate: 1 KiB/s, max_hops: 9}")
    assert change.settings_changed == ("limits",)
    [(_old, new)] = change.listeners_changed
    assert new.rate == 1024


@pytest.mark.parametrize(
    ("text", "setting", "line"),
    [
        ("limits: {max_hops: 9}", "limits", "limits: max_hops 20 -> 9"),
        ("tls: {min_version: 1.3}", "tls", "tls: min_version 1.2 -> 1.3"),
        ("log: {format: json}", "log", "log: format text -> json"),
        ("watchdog: {block_abort: 9 s}", "watchdog", "watchdog: block_abort off -> 9 s"),
        (
            "allow_plain_without_tls: true",
            "allow_plain_without_tls",
            "allow_plain_without_tls false -> true",
        ),
        ("language: it", "language", "every host: language en -> it"),
    ],
)
def test_settings_of_the_node_change_while_it_runs(text, setting, line):
    change = plan(HOSTS, HOSTS + text)
    assert change.settings_changed == (setting,)
    assert change.restart_needed == ()
    assert change.text == (line,)


def test_what_cannot_be_seen_is_written_so_that_it_can():
    titled = HOSTS + 'plugins: {muc: {title: "The\u00ad\\e[2J House"}}\n'
    [line] = plan(HOSTS + "plugins: {muc: {}}\n", titled).text
    assert line.endswith(r"The\xad\x1b[2J House")


@pytest.mark.parametrize(
    ("text", "setting", "line"),
    [
        ("data_dir: /srv", "data_dir", "-> /srv (not before a restart)"),
        ("durability: full", "durability", "durability disk -> full (not before a restart)"),
        ("storage: {connections: 3}", "storage", "storage: connections 4 -> 3 (not before"),
        ("storage: {url: 'mysql://a:b@c/d'}", "storage", "storage: url changes (not before"),
        ("cluster: {node: verona}", "cluster", 'cluster: node "" -> verona (not before'),
        (
            "cluster: {engine: redis, url: 'redis://:wherefore@c'}",
            "cluster",
            "cluster: engine local -> redis (not before",
        ),
    ],
)
def test_what_needs_a_restart_says_so(text, setting, line):
    change = plan(HOSTS, HOSTS + text)
    assert change.restart_needed == (setting,)
    assert change.settings_changed == ()
    [found] = change.text
    assert line in found
    assert "wherefore" not in found


def test_certificates_and_secrets_with_other_content_are_told(tmp_path):
    def reload(certificate, secret, text):
        (tmp_path / "cert.pem").write_text(certificate)
        (tmp_path / "secret").write_text(secret)
        (tmp_path / "stonechat.yaml").write_text(text)
        return load_configuration(
            tmp_path / "stonechat.yaml",
            lambda _kind, name: Redis if name == "redis" else PluginOptions,
        )

    text = (
        "hosts: {capulet.example: {certificate: {chain: cert.pem}}}\n"
        "plugins: {redis: {url: x, secret_file: secret}}"
    )
    first = reload("one", "wherefore", text)
    second = reload("two", "therefore", text)
    change = plan_reload(first, second)
    assert change.certificates_changed == ("capulet.example",)
    assert change.text == (
        f"capulet.example: the certificate is read again from {tmp_path / 'cert.pem'}",
        "capulet.example: plugin redis: secret_file has other content",
    )
    bare = reload("two", "therefore", "hosts: {capulet.example: {}}")
    assert "capulet.example: there is no certificate any more" in plan_reload(second, bare).text
    assert (
        f"capulet.example: there is a certificate now, {tmp_path / 'cert.pem'}"
        in plan_reload(bare, second).text
    )
