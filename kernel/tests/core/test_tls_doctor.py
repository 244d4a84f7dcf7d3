"""Our own TLS under examination: files, certificates, whom they cover, and every listener."""

from types import SimpleNamespace
from typing import get_args

import pytest
from cryptography import x509
from doctor_cast import LOCAL, LOCALHOST, REMOTE, Authority

from stonechat.commands import CommandError
from stonechat.core import tls_advice, tls_doctor
from stonechat.core.s2s_ways import Ways
from stonechat.core.tls_ports import address_of
from stonechat.net.certificates import ID_ON_DNS_SRV

C2S = {"type": "c2s", "port": 0, "address": LOCALHOST}
S2S = {"type": "s2s", "port": 0, "address": LOCALHOST}


class Lobby:
    """A plugin with a domain of its own."""

    def __init__(self, host, options):
        host.register_route(f"lobby.{host.name}", lambda stanza: None)


class World:
    """A server with real listeners, and certificates by an authority that it believes in."""

    def __init__(self, server, directory):
        self.server = server
        self.authority = Authority(directory)
        self.files = {}

    def start(self, *hosts, listen=(), plugins=None, **sections):
        """Bring hosts up; those that have no certificate yet are given a good one."""
        settings = {}
        for name in hosts or (LOCAL,):
            pair = self.files.setdefault(name, self.authority.issue(name))
            own = pair and {"chain": str(pair.chain), "key": str(pair.key)}
            settings[name] = {"certificate": own, "plugins": {each: {} for each in plugins or {}}}
        federation = {
            "ca_file": str(self.authority.path),
            **sections.pop("federation", {"enabled": True}),
        }
        listen = list(listen)
        self.server.configure(hosts=settings, federation=federation, listen=listen, **sections)
        # With the first one all come up that the configuration names.
        self.server.host(next(iter(settings)), plugin_classes=plugins or {})
        # That of the kit knows no sockets.
        kernel = self.server.kernel
        kernel.s2s.ways = Ways(kernel)

    def examine(self, host=""):
        return self.server.command("doctor-tls", host=host)


@pytest.fixture
def world(server, tmp_path):
    return World(server, tmp_path)


def rows(found, step):
    return [(row["verdict"], row["code"]) for row in found if row["step"] == step]


def row(found, step, target=None):
    [only] = [each for each in found if each["step"] == step and target in (None, each["target"])]
    return only


def test_where_all_is_well_nothing_is_advised(world):
    direct = {"tls": "direct"}
    world.start(listen=[C2S, {**C2S, **direct}, S2S, {**S2S, **direct}])
    found = world.examine()
    assert {each["verdict"] for each in found} == {"ok"}
    assert {each["advice"] for each in found} == {""}
    listeners = [each for each in found if each["step"] == "listener"]
    assert [each["code"] for each in listeners] == ["encrypted"] * 4
    assert [each["found"].split(", ")[2:] for each in listeners] == [
        [],
        ["xmpp-client"],
        [],
        ["xmpp-server"],
    ]
    ports = [port.port for port in world.server.kernel.ports]
    assert [each["target"].split(", ")[0] for each in listeners] == [
        f"{kind} port {port}"
        for kind, port in zip(("c2s", "c2s", "s2s", "s2s"), ports, strict=True)
    ]


def test_each_listener_shows_each_host_its_own_certificate(world):
    world.start(LOCAL, REMOTE, listen=[C2S, S2S])
    found = world.examine()
    assert rows(found, "listener") == [("ok", "encrypted")] * 4
    assert [each["target"].split(", ")[1] for each in found if each["step"] == "listener"] == [
        LOCAL,
        REMOTE,
        LOCAL,
        REMOTE,
    ]


def test_one_host_alone_can_be_examined(world):
    world.start(LOCAL, REMOTE, listen=[C2S])
    found = world.examine(REMOTE)
    assert row(found, "files")["target"] == REMOTE
    assert len(rows(found, "listener")) == 1
    with pytest.raises(CommandError):
        world.examine("verona.example")


# Files


def test_a_file_that_is_broken_by_now_is_told_and_the_one_in_use_is_examined(world):
    world.start()
    world.files[LOCAL].key.write_bytes(world.authority.issue(LOCAL).key.read_bytes())
    found = world.examine()
    assert rows(found, "files") == [("failed", "unreadable")]
    assert "does not belong" in row(found, "files")["found"]
    assert rows(found, "certificate") == [("ok", "trusted")]


def test_a_file_that_holds_another_certificate_than_is_in_use_is_told(world):
    world.start()
    fresh = world.authority.issue(LOCAL)
    for old, new in zip(world.files[LOCAL], fresh, strict=True):
        old.write_bytes(new.read_bytes())
    assert rows(world.examine(), "files") == [("warning", "not-in-use")]


def test_a_host_without_a_certificate_is_told(world):
    world.files[REMOTE] = None
    world.start(LOCAL, REMOTE, listen=[C2S])
    found = world.examine(REMOTE)
    assert rows(found, "certificate") == [("failed", "no-certificate")]
    assert rows(found, "listener") == []


def test_a_file_of_authorities_is_looked_at(world):
    world.start()
    assert row(world.examine(), "settings", "federation.ca_file")["code"] == "authorities"
    world.authority.path.write_text("")
    found = row(world.examine(), "settings", "federation.ca_file")
    assert (found["verdict"], found["code"]) == ("failed", "unreadable")


# Certificates and names


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"self_signed": True}, [("warning", "self-signed")]),
        ({"days": (-30, -2)}, [("failed", "expired")]),
        ({"days": (-30, 5)}, [("ok", "trusted"), ("warning", "expires-soon")]),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_certificate_is_told(world, options, expected):
    world.files[LOCAL] = world.authority.issue(LOCAL, **options)
    world.start()
    assert rows(world.examine(), "certificate") == expected


def test_a_chain_without_its_issuers_is_told(world, tmp_path):
    (tmp_path / "mantua").mkdir()
    stranger = Authority(tmp_path / "mantua", "The Apothecary")
    world.files[LOCAL] = stranger.issue(LOCAL)
    world.start()
    assert rows(world.examine(), "certificate") == [("failed", "chain-incomplete")]


def srv(name):
    der = bytes((0x16, len(name))) + name.encode()
    return x509.OtherName(ID_ON_DNS_SRV, der)


def test_clients_and_servers_are_told_apart(world):
    names = [srv(f"_xmpp-client.{LOCAL}")]
    world.files[LOCAL] = world.authority.issue(LOCAL, names=names)
    world.start()
    found = world.examine()
    assert row(found, "names", f"{LOCAL}, for clients")["code"] == "covered"
    missing = row(found, "names", f"{LOCAL}, for servers")
    assert (missing["verdict"], missing["code"]) == ("failed", "wrong-name")
    assert f"_xmpp-client.{LOCAL}" in missing["found"]
    assert rows(found, "certificate") == [("ok", "trusted")]


def test_a_host_that_speaks_to_no_other_server_needs_no_name_for_servers(world):
    world.start(plugins={"lobby": Lobby}, federation={"enabled": False})
    found = world.examine()
    assert [each["target"] for each in found if each["step"] == "names"] == [
        f"{LOCAL}, for clients"
    ]
    assert rows(found, "services") == [("skipped", "not-federated")]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([LOCAL], ("warning", "not-covered")),
        ([LOCAL, f"lobby.{LOCAL}"], ("ok", "covered")),
        ([LOCAL, f"*.{LOCAL}"], ("ok", "covered")),
    ],
    ids=str,
)
def test_the_domains_of_plugins_are_looked_at_too(world, names, expected):
    world.files[LOCAL] = world.authority.issue(LOCAL, names=[x509.DNSName(n) for n in names])
    world.start(plugins={"lobby": Lobby})
    found = world.examine()
    assert rows(found, "services") == [expected]
    assert row(found, "services")["target"] == f"lobby.{LOCAL}"


def test_a_domain_for_all_that_is_below_needs_a_wildcard(world):
    class Halls:
        def __init__(self, host, options):
            host.register_route(f"*.hall.{host.name}", lambda stanza: None)

    names = [x509.DNSName(LOCAL), x509.DNSName(f"*.hall.{LOCAL}")]
    world.files[LOCAL] = world.authority.issue(LOCAL, names=names)
    world.start(plugins={"halls": Halls})
    assert rows(world.examine(), "services") == [("ok", "covered")]


# Settings and listeners


def test_old_ciphers_are_told_where_they_can_be_chosen(world):
    world.start(tls={"ciphers": "DEFAULT"})
    assert row(world.examine(), "settings", "tls.ciphers")["code"] == "weak-ciphers"
    world.server.configure(tls={"min_version": "1.3"})
    assert row(world.examine(), "settings", "tls")["code"] == "modern"


def test_passwords_in_the_clear_are_told(world):
    world.start(allow_plain_without_tls=True)
    found = row(world.examine(), "settings", "allow_plain_without_tls")
    assert (found["verdict"], found["code"]) == ("warning", "plain-passwords")


@pytest.mark.parametrize(
    "listener",
    [{**C2S, "starttls": "off"}, {**S2S, "starttls": "off"}, {**C2S, "type": "component"}],
    ids=lambda listener: listener["type"],
)
@pytest.mark.parametrize(
    ("address", "verdict"),
    [(LOCALHOST, "ok"), ("0.0.0.0", "warning")],  # noqa: S104
)
def test_a_listener_in_the_clear_is_for_this_machine_only(world, listener, address, verdict):
    world.start(listen=[{**listener, "address": address}])
    assert rows(world.examine(), "listener") == [(verdict, "clear")]


def test_a_listener_behind_a_proxy_is_examined_as_by_the_proxy_itself(world):
    world.start(listen=[{**C2S, "proxy_protocol": True, "trusted_proxies": ["127.0.0.0/8"]}])
    assert rows(world.examine(), "listener") == [("ok", "encrypted")]


def test_a_listener_that_only_others_may_speak_to_is_skipped(world):
    proxies = {"proxy_protocol": True, "trusted_proxies": ["192.0.2.0/24"]}
    world.start(listen=[{**C2S, **proxies}])
    found = world.examine()
    assert rows(found, "listener") == [("skipped", "not-reachable")]
    assert row(found, "listener")["advice"]


def test_a_listener_that_lets_nobody_in_is_told(world):
    world.start(listen=[C2S])
    [port] = world.server.kernel.ports
    number = port.port
    port.close()
    port.options = port.options.model_copy(update={"port": number})
    found = world.examine()
    assert rows(found, "listener") == [("failed", "handshake-failed")]
    assert "cannot be connected to" in row(found, "listener")["found"]


def test_a_listener_that_shows_another_certificate_is_told(world, monkeypatch):
    world.start(LOCAL, listen=[C2S])
    kernel = world.server.kernel
    monkeypatch.setattr(
        type(kernel.contexts),
        "certificates",
        property(
            lambda self: {LOCAL: x509.load_pem_x509_certificate(world.authority.path.read_bytes())}
        ),
    )
    assert rows(world.examine(), "listener") == [("failed", "other-certificate")]


@pytest.mark.parametrize(
    ("address", "reached"),
    [("::", LOCALHOST), ("0.0.0.0", LOCALHOST), ("192.0.2.1", "192.0.2.1"), ("::1", "::1")],  # noqa: S104
)
def test_a_listener_on_all_addresses_is_reached_on_that_of_the_machine_itself(address, reached):
    port = SimpleNamespace(options=SimpleNamespace(address=address))
    assert address_of(port) == reached


def test_a_reload_meanwhile_does_no_harm(world, monkeypatch):
    world.start()
    kernel = world.server.kernel
    reflect = tls_doctor.reflect

    def reloading(*arguments):
        found = reflect(*arguments)
        kernel.contexts = None
        return found

    monkeypatch.setattr(tls_doctor, "reflect", reloading)
    contexts = kernel.contexts
    try:
        assert row(world.examine(), "certificate")["code"] == "trusted"
    finally:
        kernel.contexts = contexts


def test_there_is_an_end_to_handshakes(world, monkeypatch):
    world.start(LOCAL, REMOTE, listen=[C2S, S2S])
    monkeypatch.setattr(tls_doctor, "MOST_HANDSHAKES", 1)
    assert rows(world.examine(), "listener") == [("ok", "encrypted"), ("skipped", "enough")]
    monkeypatch.setattr(tls_doctor, "TOTAL_SECONDS", 0.0)
    assert rows(world.examine(), "listener") == [("skipped", "enough")]


def test_there_is_advice_on_all_that_is_not_well():
    well = {"modern", "authorities", "in-use", "trusted", "covered", "encrypted"}
    assert set(tls_advice.ADVICE) | well == set(get_args(tls_doctor.TlsCode))
    assert all(text.endswith(".") for text in tls_advice.ADVICE.values())
