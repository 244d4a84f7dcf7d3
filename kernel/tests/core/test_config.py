"""The configuration file: what a right one gives, and what is said about a wrong one."""

import datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

import pytest
from pydantic import model_validator

from stonechat.core.config import (
    AuthSetting,
    BrokenPlugin,
    Configuration,
    UnknownPlugin,
    load_configuration,
    load_configuration_text,
)
from stonechat.errors import ConfigError
from stonechat.jid import JID
from stonechat.options import (
    REQUIRED,
    DomainTemplate,
    Duration,
    ListenerOptions,
    PluginOptions,
    SecretFile,
    option,
)


class Roster(PluginOptions):
    max_items: int = option(1000, "Contacts an account may have.", ge=1)
    versioning: bool = option(True, "Send only what has changed.")


class Muc(PluginOptions):
    domain: DomainTemplate = option("conference.@HOST@", "Where the rooms are.")
    history_length: int = option(20, "Messages shown to a newcomer.", ge=0, le=500)
    kick_after: Duration = option("10 min", "Silence of an occupant.", ge=1, le=3600)


class Announce(PluginOptions):
    text: str = option(REQUIRED, "What is announced.")


class Odd(PluginOptions):
    colour: Literal["red", "green"] | int = option("red", "A colour or its number.")

    @model_validator(mode="after")
    def _stumble(self):
        if self.colour == 13:
            raise KeyError("thirteen")
        if self.colour == 12:
            raise ValueError("twelve is no colour")
        return self


class Redis(PluginOptions):
    url: str = option(REQUIRED, "Where Redis is.", hidden=True)
    secret_file: SecretFile | None = option(None, "What nodes know each other by.")


class Internal(PluginOptions):
    iterations: int = option(10000, "Rounds.", ge=4096)


class Ldap(PluginOptions):
    servers: tuple[str, ...] = option(REQUIRED, "Where the directory is.", min_length=1)
    base: str = option("", "Where in it the accounts are.")


class ComponentListener(ListenerOptions):
    type: Literal["component"] = option("component", "External components.")
    secret_file: SecretFile = option(REQUIRED, "What components prove to know.")


PLUGINS = {"roster": Roster, "muc": Muc, "announce": Announce, "odd": Odd, "redis": Redis}
BACKENDS = {"internal": Internal, "ldap": Ldap}


def resolve(kind, name):
    if name == "http":
        raise UnknownPlugin(kind, name, distribution="stonechat-http")
    if name == "torn":
        raise BrokenPlugin("torn cannot be loaded: SyntaxError in line 3")
    known = PLUGINS if kind == "plugin" else BACKENDS
    if name not in known:
        raise UnknownPlugin(kind, name, known)
    return known[name]


def load(text) -> Configuration:
    return load_configuration_text(
        text, "stonechat.yaml", resolve, {"component": ComponentListener}
    )


def faults(text) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert all(problem.startswith("stonechat.yaml:") for problem in caught.value.problems)
    return [problem.removeprefix("stonechat.yaml:") for problem in caught.value.problems]


HOST = "hosts: {capulet.example: {}}\n"


# What a right file gives


def test_a_host_alone_is_a_whole_configuration():
    configuration = load("hosts:\n  capulet.example:\n")
    host = configuration.hosts["capulet.example"]
    assert (host.domain, host.certificate, dict(host.plugins)) == ("capulet.example", None, {})
    assert host.auth == (("internal", Internal()),)
    assert configuration.durability == "disk"
    assert configuration.storage.url == "sqlite:///stonechat.db"
    assert configuration.cluster.engine == "local"
    assert configuration.limits.stanza_bytes == 262144
    assert configuration.limits.negotiation_timeout == 30.0
    assert configuration.watchdog.block_abort == 0
    assert not configuration.allow_plain_without_tls
    [listener] = configuration.listeners
    assert (listener.type, listener.port, listener.address) == ("c2s", 5222, "::")
    assert listener.starttls == "required"


def test_every_section_of_the_file_is_read(tmp_path):
    (tmp_path / "component.secret").write_text("parting is such sweet sorrow\n")
    (tmp_path / "chain.pem").write_text("chain")
    (tmp_path / "key.pem").write_text("key")
    (tmp_path / "stonechat.yaml").write_text(
        """\
data_dir: ./data
durability: full
language: it
hosts:
  capulet.example:
    certificate: {chain: chain.pem, key: key.pem}
  Montague.Example:
    auth: [ldap, internal]
    auth_options: {ldap: {base: ou=montague}}
    plugins: {muc: null, roster: {max_items: 5}}
    access: {admin: {users: [romeo@montague.example]}}
    language: en-GB
listen:
  - {type: c2s, port: 5222, proxy_protocol: yes, trusted_proxies: [127.0.0.1, 10.0.0.0/8]}
  - {type: c2s, port: 5223, tls: direct, client_certificates: true}
  - {type: component, port: 5347, secret_file: component.secret, address: 127.0.0.1}
tls: {min_version: 1.3}
allow_plain_without_tls: true
storage: {url: "postgresql+psycopg://stonechat@db.example/stonechat", connections: 4}
auth: [internal]
auth_options:
  ldap: {servers: [ldaps://ldap.example.net], base: "ou=people,dc=example,dc=net"}
plugins:
  roster: {required: true, versioning: false}
  muc: {kick_after: 5 min}
access:
  admin: {users: [juliet@capulet.example]}
  announce: {any: true}
cluster: {engine: redis, node: verona, url: "redis://127.0.0.1:6379/0"}
limits: {stanza_bytes: 100 KiB, rate: 10 KiB/s, idle_timeout: off, resource_conflict: refuse}
log: {level: debug, format: json, file: log/stonechat.log}
watchdog: {block_warning: 250 ms, block_abort: 10 s}
"""
    )
    configuration = load_configuration(
        tmp_path / "stonechat.yaml", resolve, {"component": ComponentListener}
    )
    assert configuration.data_dir == tmp_path / "data"
    assert configuration.durability == "full"
    assert list(configuration.hosts) == ["capulet.example", "montague.example"]

    capulet = configuration.hosts["capulet.example"]
    assert capulet.certificate is not None
    assert capulet.certificate.chain == tmp_path / "chain.pem"
    assert capulet.certificate.key == tmp_path / "key.pem"
    assert capulet.auth == (AuthSetting("internal", Internal()),)
    assert capulet.plugins["roster"].options == Roster(versioning=False)
    assert capulet.plugins["roster"].required
    assert capulet.plugins["muc"].options.kick_after == 300.0
    assert not capulet.plugins["muc"].required
    assert capulet.language == "it"

    montague = configuration.hosts["montague.example"]
    assert [name for name, _options in montague.auth] == ["ldap", "internal"]
    assert montague.auth[0].options == Ldap(
        servers=("ldaps://ldap.example.net",), base="ou=montague"
    )
    assert list(montague.plugins) == ["roster"]
    assert montague.plugins["roster"].options == Roster(max_items=5, versioning=False)
    assert montague.plugins["roster"].required
    assert montague.language == "en-GB"
    romeo = JID.parse("romeo@montague.example/orchard")
    assert montague.access.allows("admin", romeo)
    assert montague.access.allows("announce", romeo)
    assert not capulet.access.allows("admin", romeo)

    plain, direct, component = configuration.listeners
    assert plain.trusted_proxies == (ip_network("127.0.0.1/32"), ip_network("10.0.0.0/8"))
    assert (plain.rate, plain.idle_timeout) == (10240, 0.0)
    assert (direct.tls, direct.client_certificates) == ("direct", True)
    assert component.secret_file.read().reveal() == "parting is such sweet sorrow"
    assert configuration.tls.min_version == "1.3"
    assert configuration.cluster.engine == "redis"
    assert configuration.cluster.node == "verona"
    assert configuration.cluster.options == Redis(url="redis://127.0.0.1:6379/0")
    assert configuration.limits.resource_conflict == "refuse"
    assert configuration.log.file == tmp_path / "log" / "stonechat.log"
    assert configuration.watchdog.block_warning == 0.25


def test_a_listener_takes_limits_that_it_does_not_have_itself():
    first, second = load(
        HOST + "limits: {rate: 5 KiB/s, negotiation_timeout: 60}\n"
        "listen: [{type: c2s, port: 1}, {type: c2s, port: 2, rate: none}]"
    ).listeners
    assert (first.rate, first.negotiation_timeout) == (5120, 60.0)
    assert (second.rate, second.negotiation_timeout) == (0, 60.0)


def test_a_key_with_nothing_after_it_counts_as_left_out():
    configuration = load(HOST + "limits:\nlog:\nlisten:\nauth:\nlanguage:\nplugins:\ncluster:\n")
    assert configuration == load(HOST)


def test_the_configuration_cannot_be_changed():
    configuration = load(HOST + "plugins: {roster: {}}")
    with pytest.raises(TypeError):
        configuration.hosts["montague.example"] = None
    with pytest.raises(AttributeError):
        configuration.file = ""
    with pytest.raises(ValueError, match="frozen"):
        configuration.plugins["roster"].options.max_items = 1


def test_the_database_password_is_not_in_the_representation():
    configuration = load(HOST + 'storage: {url: "mysql://romeo:wherefore@db.example/x"}')
    assert "wherefore" not in repr(configuration)


def test_mappings_can_share_their_content():
    configuration = load(
        "hosts:\n"
        "  capulet.example: &family\n"
        "    plugins: {roster: {max_items: 3}}\n"
        "  montague.example:\n"
        "    <<: *family\n"
        "    language: it\n"
    )
    assert configuration.hosts["montague.example"].plugins["roster"].options.max_items == 3


def test_what_looks_like_a_date_is_text():
    assert datetime.date(2026, 1, 1)  # what YAML's own types would make of it
    configuration = load(HOST + "plugins: {announce: {text: 2026-01-01}}")
    assert configuration.plugins["announce"].options.text == "2026-01-01"


def test_an_option_that_only_hosts_give_may_be_missing_at_the_top():
    configuration = load(
        "hosts: {capulet.example: {plugins: {announce: {text: hear}}}}\n"
        "plugins: {announce: {required: true}}"
    )
    setting = configuration.hosts["capulet.example"].plugins["announce"]
    assert (setting.options.text, setting.required) == ("hear", True)
    assert dict(configuration.plugins) == {}


def test_a_plugin_that_cannot_be_loaded_does_not_stop_the_start():
    setting = (
        load(HOST + "plugins: {torn: {whatever: 1}}").hosts["capulet.example"].plugins["torn"]
    )
    assert setting.fault == "torn cannot be loaded: SyntaxError in line 3"
    assert setting.options == PluginOptions()


# What is said about a wrong file


def test_a_required_plugin_that_cannot_be_loaded_stops_the_start():
    assert faults(HOST + "plugins: {torn: {required: true}}") == [
        "2:11: plugins.torn: torn cannot be loaded: SyntaxError in line 3"
    ]


def test_all_faults_are_told_at_once_in_the_order_of_the_file():
    assert faults(
        """\
hosts:
  capulet.example:
    langauge: it
    certificate: {key: nowhere.pem}
    plugins:
      muc: {history_length: many}
      rooster: {}
  CAPULET.example: {}
  "ro meo": {}
listen:
  - {type: c2s, port: 5222, starttls: requierd}
  - {type: cs2, port: 5223}
  - {port: 5224}
  - {type: c2s, port: 70000}
  - {type: c2s, adress: localhost}
auth: [internal, lpad, internal]
auth_options: {ldap: {base: x}}
limits:
  stanza_byte: 1
  stanza_bytes: 1 KiB
  auth_failures: true
log: verbose
zeppelin: 1
"""
    ) == [
        '3:5: hosts.capulet.example.langauge: is unknown here; did you mean "language"?',
        "4:5: hosts.capulet.example.certificate.chain: must be given",
        (
            "4:24: hosts.capulet.example.certificate.key: cannot read"
            f" {Path.cwd() / 'nowhere.pem'}: No such file or directory"
        ),
        "6:29: hosts.capulet.example.plugins.muc.history_length: must be a whole number",
        (
            "7:7: hosts.capulet.example.plugins.rooster: there is no plugin of this name;"
            ' did you mean "roster"?'
        ),
        "8:3: hosts.CAPULET.example: is the same domain as capulet.example in line 2",
        "9:3: hosts.\"ro meo\": The domain 'ro meo' has U+0020 SPACE, which is not allowed there.",
        (
            "11:39: listen[0].starttls: must be 'required', 'optional' or 'off';"
            ' did you mean "required"?'
        ),
        '12:12: listen[1].type: must be one of c2s, s2s, component; did you mean "s2s"?',
        "13:5: listen[2].type: must be one of c2s, s2s, component",
        "14:23: listen[3].port: must be at least 0, at most 65535",
        "15:5: listen[4].port: must be given",
        '15:17: listen[4].adress: is unknown here; did you mean "address"?',
        '16:18: auth[1]: there is no auth backend of this name; did you mean "ldap"?',
        "16:24: auth[2]: is named twice",
        "17:16: auth_options.ldap.servers: must be given",
        '19:3: limits.stanza_byte: is unknown here; did you mean "stanza_bytes"?',
        "20:17: limits.stanza_bytes: must be at least 10 kB",
        "21:18: limits.auth_failures: must be a number, not true or false",
        "22:6: log: must be a mapping",
        "23:1: zeppelin: is unknown here",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: the file is empty"),
        ("# nothing but words\n", "1:1: the file is empty"),
        ("- hosts\n", "1:1: the file must be a mapping, with keys such as hosts:"),
        ("hosts\n", "1:1: the file must be a mapping, with keys such as hosts:"),
        ("{}", "1:1: hosts: must be given"),
        ("hosts: {}", "1:1: hosts: must not be empty"),
        ("hosts: [capulet.example]", "1:1: hosts: must be a mapping"),
        ("hosts: {capulet.example: 5}", "1:26: hosts.capulet.example: must be a mapping"),
        (HOST + "auth: []", "2:1: auth: must not be empty"),
        (HOST + "auth: ldap", "2:7: auth: must be a list"),
        (HOST + "auth: [ldap]", "2:8: auth_options.ldap.servers: must be given"),
        (HOST + "auth: [5]", "2:8: auth[0]: must be text"),
        (HOST + "listen: 5222", "2:9: listen: must be a list"),
        (HOST + "listen: [5222]", "2:10: listen[0]: must be a mapping"),
        (HOST + "language: much too long a language", "2:11: language: "),
        (HOST + "limits: {idle_timeout: soon}", "2:24: limits.idle_timeout: must be a duration"),
        (HOST + "plugins: [roster]", "2:1: plugins: must be a mapping of names to options"),
        (HOST + "plugins:\n  roster:\n", "3:3: plugins.roster: write {} for the defaults"),
        (HOST + "plugins: {roster: on}", "2:19: plugins.roster: must be a mapping of options"),
        (HOST + "plugins: {roster: {required: 5}}", "2:30: plugins.roster.required: must be true"),
        (HOST + "plugins: {http: {}}", "2:11: plugins.http: this plugin is not installed: pip"),
        (HOST + "plugins: {announce: {}}", "2:11: plugins.announce.text: must be given"),
        (HOST + "plugins: {odd: {colour: x}}", "2:25: plugins.odd.colour: must be 'red' or"),
        (HOST + "plugins: {odd: {colour: 12}}", "2:11: plugins.odd: twelve is no colour"),
        (HOST + "plugins: {odd: {colour: 13}}", "2:11: plugins.odd: the check of the options"),
        (HOST + "cluster: {engine: redsi}", '2:19: cluster.engine: there is no plugin of this'),
        (HOST + "cluster: {engine: redis}", "2:1: cluster.url: must be given"),
        (HOST + "cluster: {egnine: redis}", '2:11: cluster.egnine: is unknown here; did you'),
        (HOST + "cluster: {engine: 5}", "2:19: cluster.engine: must be text"),
        (HOST + "access: {admin: juliet}", "2:17: access.admin: must be a mapping"),
        (
            HOST + "access: {admin: {users: [juliet]}}",
            "2:26: access.admin.users[0]: must be the address of an account",
        ),
        (
            HOST + "access: {admin: {addresses: [10.0.0.1/8]}}",
            ("2:30: access.admin.addresses[0]: must be an address or a network such as"
            " 10.0.0.0/8: 10.0.0.1/8 has host bits set"),
        ),
        (
            HOST + "listen: [{type: c2s, port: 1, address: localhost}]",
            "2:40: listen[0].address: must be an IP address",
        ),
        (
            HOST + "listen: [{type: c2s, port: 1, proxy_protocol: true}]",
            "2:10: listen[0]: proxy_protocol needs trusted_proxies",
        ),
        (
            HOST + "listen: [{type: c2s, port: 1}, {type: component, port: 2}]",
            "2:32: listen[1].secret_file: must be given",
        ),
        (
            HOST + "listen: [{type: c2s, port: 1}, {type: c2s, port: 1, address: 0.0.0.0}]",
            "2:32: listen[1]: port 1 on :: is listened on already",
        ),
        (
            "hosts: {capulet.example: {plugins: {mcu: null}}}\nplugins: {muc: {}}",
            ('1:37: hosts.capulet.example.plugins.mcu: is not switched on, so null cannot switch'
            ' it off; did you mean "muc"?'),
        ),
        (
            "hosts: {capulet.example: {plugins: {muc: on}}}",
            "1:42: hosts.capulet.example.plugins.muc: must be a mapping of options; null",
        ),
        (
            "hosts: {capulet.example: {auth_options: {ldap: {base: x}}}}",
            "1:42: hosts.capulet.example.auth_options.ldap.servers: must be given",
        ),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_place(text, problem):
    [found] = faults(text)
    assert found.startswith(problem)


def test_a_general_setting_that_is_wrong_is_told_once_for_all_hosts():
    text = (
        "hosts:\n"
        "  capulet.example: {plugins: {muc: {kick_after: 1 h}}}\n"
        "  montague.example: {}\n"
        "plugins:\n"
        "  muc: {history_length: 501}\n"
    )
    assert faults(text) == [
        "5:25: plugins.muc.history_length: must be at least 0, at most 500",
    ]


def test_a_general_setting_that_no_host_uses_is_checked_too():
    text = "hosts: {capulet.example: {plugins: {muc: null}}}\nplugins: {muc: {colour: 1}}"
    assert faults(text) == ["2:17: plugins.muc.colour: is unknown here"]


def test_options_of_a_backend_that_no_host_has_are_checked_too():
    assert faults(HOST + "auth_options: {internal: {iterations: 1}}") == [
        "2:39: auth_options.internal.iterations: must be at least 4096"
    ]


def test_a_value_out_of_bounds_is_told_in_its_own_unit():
    assert faults(HOST + "plugins: {muc: {kick_after: 2 h}}") == [
        "2:29: plugins.muc.kick_after: must be at least 1 s, at most 1 h"
    ]


def test_a_value_in_the_wrong_place_is_not_repeated():
    problems = faults(
        HOST + "plugins: {muc: {history_length: wherefore}}\nlog: {level: wherefore}"
    )
    assert not any("wherefore" in problem for problem in problems)


def test_a_key_cannot_break_the_line_of_its_fault():
    [problem] = faults(HOST + '"a\\nERROR all is lost\\u001b": 1')
    assert problem == '2:1: "a\\nERROR all is lost\\u001b": is unknown here'


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere.yaml: cannot be read: No such file"):
        load_configuration(tmp_path / "nowhere.yaml", resolve)


def test_a_file_that_is_far_too_large_is_not_read(tmp_path):
    file = tmp_path / "stonechat.yaml"
    with file.open("wb") as stream:
        stream.truncate(9 * 1024 * 1024)
    with pytest.raises(ConfigError, match="too large"):
        load_configuration(file, resolve)


def test_a_certificate_with_other_content_is_another(tmp_path):
    def fingerprint(content):
        (tmp_path / "cert.pem").write_text(content)
        (tmp_path / "stonechat.yaml").write_text(
            "hosts: {capulet.example: {certificate: {chain: cert.pem}}}"
        )
        host = load_configuration(tmp_path / "stonechat.yaml", resolve).hosts["capulet.example"]
        assert host.certificate.key == host.certificate.chain == tmp_path / "cert.pem"
        return host.certificate.fingerprint

    assert fingerprint("one") == fingerprint("one") != fingerprint("two")
