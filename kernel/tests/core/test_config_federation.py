"""The configuration of federation: what holds for whom, what is wrong, and what a reload tells."""

import json

import pytest

from stonechat.cli.app import run
from stonechat.core.config import load_configuration_text
from stonechat.core.config_model import ServerListener
from stonechat.core.config_plan import plan_reload
from stonechat.core.tls_setup import make_connector, make_contexts, make_server_contexts
from stonechat.errors import ConfigError
from stonechat.net.certificates import write_self_signed
from stonechat.options import PluginOptions

HOSTS = "hosts: {capulet.example: {}, montague.example: {}}\n"
LISTEN = "listen: [{type: s2s, port: 5269}]\n"


def load(text):
    return load_configuration_text(text, "stonechat.yml", lambda kind, name: PluginOptions)


def of_host(configuration, name="capulet.example"):
    return configuration.hosts[name].federation


def faults(text):
    with pytest.raises(ConfigError) as caught:
        load(text)
    return list(caught.value.problems)


# What holds


def test_the_defaults_are_the_promise_r18():
    options = load(HOSTS).federation
    assert (options.queue_stanzas, options.queue_bytes, options.timeout) == (1000, 4_000_000, 60)
    assert options.connecting == 200


def test_without_a_listener_a_server_speaks_to_no_other():
    assert of_host(load(HOSTS)).enabled is False
    assert of_host(load(HOSTS + LISTEN)).enabled is True
    assert of_host(load(HOSTS + "federation: {enabled: true}")).enabled is True
    assert of_host(load(HOSTS + LISTEN + "federation: {enabled: false}")).enabled is False


def test_each_option_of_a_host_takes_the_place_of_the_global_one():
    configuration = load(
        "hosts:\n"
        "  capulet.example: {federation: {trust: dialback, domains: {}}}\n"
        "  montague.example: {federation: {enabled: false}}\n"
        "  verona.example: {federation: }\n"
        "federation: {access: deny, domains: {mantua.example: {access: allow}}}\n" + LISTEN
    )
    capulet, montague, verona = (
        federation.federation for federation in configuration.hosts.values()
    )
    assert (capulet.trust, capulet.access, capulet.domains) == ("dialback", "deny", {})
    assert (montague.enabled, montague.access) == (False, "deny")
    assert (verona.enabled, verona.trust, list(verona.domains)) == (
        True,
        "require",
        ["mantua.example"],
    )


def test_domains_are_prepared():
    section = of_host(load(HOSTS + 'federation: {domains: {"*.MÜNCHEN.example": {}}}'))
    assert list(section.domains) == ["*.münchen.example"]


def test_a_listener_takes_its_bounds_from_the_limits():
    [listener] = load(HOSTS + LISTEN + "limits: {idle_timeout: 5 min, rate: 1 KiB/s}").listeners
    assert isinstance(listener, ServerListener)
    assert (listener.idle_timeout, listener.rate, listener.starttls) == (300, 1024, "required")


# What is wrong


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "federation: {trust: sure}",
            "2:21: federation.trust: must be 'require', 'dialback' or 'any'",
        ),
        (
            "federation: {domains: {Mantua.example: {}, mantua.example: {}}}",
            "2:14: federation.domains: Mantua.example and mantua.example are the same domain",
        ),
        (
            "federation: {domains: {mantua.example: {acess: deny}}}",
            "2:41: federation.domains.mantua.example.acess: is unknown here; did you mean",
        ),
        (
            "federation: {domains: {mantua.example: }}",
            "2:24: federation.domains.mantua.example: must be a mapping",
        ),
        ("federation: {families: []}", "2:14: federation.families: must not be empty"),
        ("federation: {ca_file: no.pem}", "2:23: federation.ca_file: "),
        (
            "dns: {servers: [ns.example.net]}",
            "2:17: dns.servers[0]: 'ns.example.net' is not the address of a name server",
        ),
        (
            "listen: [{type: s2s, port: 1, tls: on}]",
            "2:36: listen[0].tls: must be 'direct' or 'off'",
        ),
    ],
)
def test_a_fault_is_told_with_its_place(text, fault):
    [line] = faults(HOSTS + text)
    assert line.startswith(f"stonechat.yml:{fault}")


def test_a_domain_that_is_none_is_told_where_it_stands():
    [line] = faults(HOSTS + 'federation: {domains: {"a b": {}}}')
    assert line.startswith("stonechat.yml:2:24: federation.domains.\"a b\": 'a b' is no domain")


def test_what_is_the_nodes_no_host_can_have_of_its_own():
    [line] = faults("hosts: {capulet.example: {federation: {queue_stanzas: 5}}}")
    assert (
        line
        == "stonechat.yml:1:40: hosts.capulet.example.federation.queue_stanzas: is unknown here"
    )


# What is hardly meant


def test_trust_without_a_certificate_wants_a_dialback():
    text = (
        "hosts:\n"
        "  capulet.example: {federation: {trust: any}}\n"
        "  montague.example: {}\n"
        "  verona.example: {plugins: {dialback: {}}}\n"
        "  mantua.example: {federation: {enabled: false}}\n"
        "federation: {trust: dialback, domains: {Padua.example: {trust: any}}}\n" + LISTEN
    )
    wanted = "a certificate is wanted all the same, for {} has no plugin dialback"
    assert load(text).warnings == (
        "stonechat.yml:2:41: hosts.capulet.example.federation.trust: "
        + wanted.format("capulet.example"),
        "stonechat.yml:6:21: federation.trust: " + wanted.format("montague.example"),
        "stonechat.yml:6:64: federation.domains.Padua.example.trust: "
        + wanted.format("capulet.example, montague.example"),
    )
    assert load(text + "plugins: {dialback: {}}").warnings == ()
    assert load(HOSTS + LISTEN).warnings == ()


def test_check_config_tells_it(tmp_path, capsys):
    file = tmp_path / "stonechat.yml"
    file.write_text(
        "hosts: {capulet.example: {}}\nplugins: {}\n"
        "listen: [{type: s2s, port: 5269, starttls: optional}]\nfederation: {trust: any}\n"
    )
    assert run(["check-config", "--config", str(file), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["valid"]
    assert result["warnings"][0].startswith(f"{file}:4:21: federation.trust: ")


def test_a_server_that_starts_with_it_logs_it(server):
    server.configure(federation={"enabled": True, "trust": "any"})
    server.host("capulet.example")
    [record] = server.logged("configuration")
    assert "federation.trust: a certificate is wanted" in record["warning"]


# A reload


def test_what_changes_for_the_node_and_for_hosts_is_told():
    old = load(HOSTS + LISTEN)
    new = load(
        "hosts: {capulet.example: {}, montague.example: {federation: {trust: any}}}\n"
        + LISTEN
        + "federation: {timeout: 30 s, access: deny}\ndns: {servers: [192.0.2.1]}"
    )
    plan = plan_reload(old, new)
    assert plan.settings_changed == ("federation", "dns")
    assert set(plan.hosts_changed) == {"capulet.example", "montague.example"}
    assert plan.text == (
        "federation: timeout 1 min -> 30 s",
        "dns: servers [] -> [192.0.2.1]",
        "every host: federation: access allow -> deny",
        "montague.example: federation: trust require -> any",
    )


def test_the_first_listener_federates_every_host():
    plan = plan_reload(load(HOSTS + "listen: []"), load(HOSTS + LISTEN))
    assert "every host: federation: enabled false -> true" in plan.text
    assert not plan_reload(load(HOSTS + LISTEN), load(HOSTS + LISTEN))


# TLS


@pytest.fixture
def certified(tmp_path):
    write_self_signed(["capulet.example"], tmp_path / "c.pem", tmp_path / "c.key")
    return (
        f"hosts: {{capulet.example: {{certificate: {{chain: {tmp_path}/c.pem,"
        f" key: {tmp_path}/c.key}}}}}}\n"
    )


def test_a_listener_that_wants_tls_wants_a_certificate(certified):
    for listener in ("{type: s2s, port: 1}", "{type: s2s, port: 1, starttls: 'off', tls: direct}"):
        text = f"listen: [{listener}]\n"
        with pytest.raises(ConfigError, match="no host has a certificate"):
            make_contexts(load(HOSTS + text))
        assert make_contexts(load(certified + text)) is not None
    assert (
        make_contexts(load(HOSTS + "listen: [{type: s2s, port: 1, starttls: optional}]")) is None
    )


def test_a_file_of_authorities_that_holds_none_is_found_before_it_is_needed(certified, tmp_path):
    (tmp_path / "ca.pem").write_text("a plague on both your houses\n")
    section = f"federation: {{ca_file: {tmp_path}/ca.pem}}\n"
    with pytest.raises(ConfigError, match=r"ca\.pem"):
        make_contexts(load(certified + section))
    (tmp_path / "ca.pem").write_text((tmp_path / "c.pem").read_text())
    configuration = load(certified + section)
    assert make_contexts(configuration) is not None
    assert make_server_contexts(configuration) is not None
    assert make_connector(configuration) is not None


def test_streams_to_other_servers_need_no_certificate_of_ours():
    assert make_connector(load(HOSTS)) is not None
