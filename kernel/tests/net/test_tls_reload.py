"""Certificates and authorities whose files change."""

from pathlib import Path

import pytest
from tls_names import names

from stonechat.errors import ConfigError
from stonechat.net.tls import DONE, TlsConnector, TlsContexts


def renew(authority, pair, host="capulet.example"):
    fresh = authority.issue(host)
    pair.key.write_bytes(fresh.key.read_bytes())
    fresh.chain.replace(pair.chain)


def test_a_reload_shows_new_clients_the_new_certificate(wire, contexts, pairs, authority):
    connector = TlsConnector(trust=authority.path)
    old_server, old_client = wire.connect(contexts, connector)
    assert not contexts.stale()
    renew(authority, pairs["capulet.example"])
    assert contexts.stale()
    contexts.reload()
    assert not contexts.stale()
    new_server, new_client = wire.connect(contexts, connector)
    assert new_client.peer_certificate != old_client.peer_certificate
    assert new_client.channel_bindings() == new_server.channel_bindings()
    assert old_client.channel_bindings() == old_server.channel_bindings()
    old_client.send(b"I am fortune's fool")
    assert old_server.recv() == b"I am fortune's fool"


def test_a_handshake_under_way_is_not_disturbed_by_a_reload(wire, contexts, pairs, authority):
    one, other = wire.sockets()
    server = contexts.accept(one.fileno())
    client = TlsConnector(trust=authority.path).connect(other.fileno(), "montague.example")
    client.handshake()
    renew(authority, pairs["montague.example"], "montague.example")
    contexts.reload()
    server.handshake()
    assert client.handshake() is DONE
    assert server.handshake() is DONE
    assert client.channel_bindings() == server.channel_bindings()


@pytest.mark.parametrize("part", ["chain", "key"])
@pytest.mark.parametrize("content", [None, b"", b"not PEM"])
def test_a_bad_file_is_named_and_the_old_certificate_stays(
    wire, contexts, connector, pairs, part, content
):
    path: Path = getattr(pairs["montague.example"], part)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert contexts.stale()
    with pytest.raises(ConfigError) as caught:
        contexts.reload()
    [problem] = caught.value.problems
    assert problem.startswith(f"{path}: ")
    for host in ("capulet.example", "montague.example"):
        _, client = wire.connect(contexts, connector, host)
        assert names(client) == [host]
    assert contexts.stale()


def test_every_bad_file_is_named_at_once(contexts, pairs):
    for host in ("capulet.example", "montague.example"):
        pairs[host].chain.write_bytes(b"")
    with pytest.raises(ConfigError) as caught:
        contexts.reload()
    assert len(caught.value.problems) == 2


def test_a_changed_file_of_authorities_is_noticed_and_read(wire, authority, stranger):
    trusted = authority.write(authority.path.read_bytes())
    contexts = TlsContexts(
        {"capulet.example": authority.issue("capulet.example")},
        "capulet.example",
        request_client_certificate=True,
        trust=trusted,
    )
    romeo = TlsConnector({"romeo.example": stranger.issue("romeo.example")}, trust=None)
    server, _ = wire.connect(contexts, romeo, client_host="romeo.example")
    assert server.verify_error
    with trusted.open("ab") as file:
        file.write(stranger.path.read_bytes())
    assert contexts.stale()
    contexts.reload()
    server, _ = wire.connect(contexts, romeo, client_host="romeo.example")
    assert server.verify_error == ""


def test_a_connector_reads_its_files_again_too(wire, contexts, authority):
    pair = authority.issue("romeo.example")
    connector = TlsConnector({"romeo.example": pair}, trust=authority.path)
    renew(authority, pair, "romeo.example")
    assert connector.stale()
    connector.reload()
    assert not connector.stale()
    pair.key.write_bytes(b"")
    with pytest.raises(ConfigError, match=str(pair.key)):
        connector.reload()
    _, client = wire.connect(contexts, connector, client_host="romeo.example")
    assert client.is_established


def test_what_is_renewed_pair_by_pair_keeps_those_that_cannot_be_used(
    wire, contexts, connector, pairs, authority
):
    before = contexts.certificates
    renew(authority, pairs["montague.example"], "montague.example")
    pairs["capulet.example"].key.write_bytes(b"")
    [problem] = contexts.renew()
    assert problem.startswith(f"{pairs['capulet.example'].key}: ")
    assert contexts.certificates["capulet.example"] == before["capulet.example"]
    for host in ("capulet.example", "montague.example"):
        _, client = wire.connect(contexts, connector, host)
        assert client.peer_certificate == contexts.certificates[host]
        assert (client.peer_certificate == before[host]) is (host == "capulet.example")
    assert set(contexts.changes()) == {pairs["capulet.example"].key}


def test_authorities_that_cannot_be_read_leave_all_as_it_was(wire, authority):
    pair = authority.issue("romeo.example")
    trusted = authority.write(authority.path.read_bytes())
    connector = TlsConnector({"romeo.example": pair}, trust=trusted)
    trusted.write_bytes(b"")
    assert connector.renew() == [f"{trusted}: no certificates of authorities can be read from it"]
    assert connector.stale()
    server = TlsContexts(
        {"capulet.example": authority.issue("capulet.example")}, "capulet.example"
    )
    _, client = wire.connect(server, connector)
    assert client.verify_error == ""
