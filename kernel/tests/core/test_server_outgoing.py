"""Streams that we open to other servers: TLS, our certificate, and what plugins prove."""

import pytest
from server_cast import CAPULET, MONTAGUE, NS_PROOF, OTHER, PAIR, ROOMS, TRUSTED, VERONA, message

from stonechat.errors import StanzaError, StreamError
from stonechat.federation import Pair
from stonechat.namespaces import NS_SASL, NS_TLS
from stonechat.protocol.s2s import header
from stonechat.stanza import Message
from stonechat.testing.server_stream import certificate_of

STARTTLS = f"<starttls xmlns='{NS_TLS}'/>"
EXTERNAL = f"<mechanisms xmlns='{NS_SASL}'><mechanism>EXTERNAL</mechanism></mechanisms>"
PLAIN = f"<mechanisms xmlns='{NS_SASL}'><mechanism>PLAIN</mechanism></mechanisms>"
PROOF = f"<proof xmlns='{NS_PROOF}'/>"
BOTH = f"<both xmlns='{NS_PROOF}'/>"
OUT = message("romeo@montague.example", "juliet@capulet.example")


def refusals(manager):
    return [each for each in manager.told if each[0] == "refused"]


def encrypted(manager, *features, **options):
    """Behind STARTTLS, with these features."""
    peer = manager.outgoing(**options)
    peer.answer(STARTTLS)
    peer.proceed()
    peer.answer(*features)
    return peer


def established(manager, **options):
    peer = encrypted(manager, EXTERNAL, **options)
    peer.accept()
    peer.answer(id="s3")
    assert manager.stream.is_authorized(PAIR)
    return peer


# Headers


def test_our_header_comes_first(manager):
    peer = manager.outgoing()
    head = peer.header.attributes
    assert (head["from"], head["to"], head["version"]) == (CAPULET, MONTAGUE, "1.0")
    assert "id" not in head
    assert manager.stream.id == ""
    peer.answer(STARTTLS, id="s1")
    assert manager.stream.id == "s1"


@pytest.mark.parametrize(
    ("octets", "condition"),
    [
        (b"HTTP/1.1 400 Bad Request", "not-well-formed"),
        (b"<stream:stream xmlns='jabber:client' xmlns:stream='x'>", "invalid-namespace"),
        (b"<!DOCTYPE x>", "restricted-xml"),
    ],
)
def test_what_is_no_answer_ends_the_stream(manager, octets, condition):
    peer = manager.outgoing()
    peer.send(octets)
    assert peer.closed_with() == condition
    assert manager.end.startswith(condition)


def test_the_answer_may_come_octet_by_octet(manager):
    peer = manager.outgoing()
    octets = header(from_=MONTAGUE, to=CAPULET, id="s1")
    octets += f"<stream:features>{STARTTLS}</stream:features>".encode()
    for at in range(len(octets)):
        peer.connection.deliver(octets[at : at + 1])
    manager.server.settle()
    assert peer.receive_element().name == "starttls"


# TLS


@pytest.mark.parametrize("trust", ["require", "dialback", "any"])
def test_tls_is_begun_wherever_it_is_offered(manager, trust):
    manager.trusts[MONTAGUE] = trust
    peer = encrypted(manager, EXTERNAL)
    assert manager.stream.is_secure
    assert peer.receive_element().name == "auth"


@pytest.mark.parametrize("trust", ["require", "dialback"])
@pytest.mark.parametrize("version", ["", "1.0"])
def test_where_it_is_not_offered_nothing_is_said(manager, prover, trust, version):
    manager.trusts[MONTAGUE] = trust
    peer = manager.outgoing()
    peer.answer(PROOF, version=version)
    assert peer.closed_with() == ""
    ((_, pair, condition, text),) = refusals(manager)
    assert (pair, condition) == (PAIR, "remote-server-timeout")
    assert "not encrypted" in text
    assert "not encrypted" in manager.end
    assert prover.events == [("closed", PAIR)]


def test_unless_nobody_wants_it(manager, prover):
    manager.trusts[MONTAGUE] = "any"
    peer = manager.outgoing()
    peer.answer(PROOF)
    assert peer.receive_element().name == "proof"
    assert prover.events == [("opened", PAIR, ["proof"]), ("prove", PAIR)]


def test_an_old_server_has_no_features(manager, prover):
    manager.trusts[MONTAGUE] = "any"
    peer = manager.outgoing()
    peer.answer(version="")
    assert prover.events == [("opened", PAIR, []), ("prove", PAIR)]


def test_whoever_offers_tls_has_to_begin_it(manager):
    manager.trusts[MONTAGUE] = "any"
    peer = manager.outgoing()
    peer.answer(STARTTLS)
    peer.send(f"<failure xmlns='{NS_TLS}'/>")
    assert "does not begin it" in manager.end
    assert len(refusals(manager)) == 1


@pytest.mark.parametrize(
    ("trust", "offer", "ends", "may"),
    [
        ("any", STARTTLS, "handshake", True),
        ("any", STARTTLS, "silence", True),
        ("any", STARTTLS, "failure", True),
        ("dialback", STARTTLS, "handshake", False),
        ("require", STARTTLS, "handshake", False),
        ("any", f"<starttls xmlns='{NS_TLS}'><required/></starttls>", "handshake", False),
        ("any", STARTTLS, "later", False),
        ("any", "", "handshake", False),
    ],
)
def test_where_tls_is_begun_in_vain_it_may_do_without(server, manager, trust, offer, ends, may):
    manager.trusts[MONTAGUE] = trust
    peer = manager.outgoing()
    peer.answer(offer)
    if ends == "failure":
        peer.send(f"<failure xmlns='{NS_TLS}'/>")
    elif ends == "later":
        peer.proceed()
    elif offer:
        peer.send(f"<proceed xmlns='{NS_TLS}'/>")
    if ends == "silence":
        server.clock.advance(31)
    else:
        peer.drop()
    assert manager.end is not None
    assert manager.stream.may_do_without_tls == may


def test_it_does_without_where_that_was_in_vain_before(manager, prover):
    manager.trusts[MONTAGUE] = "any"
    peer = manager.outgoing(avoids_tls=True)
    peer.answer(STARTTLS)
    assert peer.receive_element().name == "proof"
    assert not manager.stream.may_do_without_tls


def test_not_where_the_peer_wants_it(manager):
    manager.trusts[MONTAGUE] = "any"
    peer = manager.outgoing(avoids_tls=True)
    peer.answer(f"<starttls xmlns='{NS_TLS}'><required/></starttls>")
    assert peer.receive_element().name == "starttls"


@pytest.mark.parametrize("behind", ["x", "<stream:features/>"])
def test_octets_behind_proceed_are_an_attack(manager, behind):
    peer = manager.outgoing()
    peer.answer(STARTTLS)
    peer.send(f"<proceed xmlns='{NS_TLS}'/>{behind}")
    peer.shake_hands()
    assert not manager.stream.is_secure
    assert manager.end


def test_tls_is_begun_once(manager):
    assert encrypted(manager, STARTTLS, EXTERNAL).receive_element().name == "auth"


def test_what_is_no_tls_ends_the_stream(manager):
    peer = manager.outgoing()
    peer.answer(STARTTLS)
    peer.send(f"<proceed xmlns='{NS_TLS}'/>")
    peer.send("<stream:features/>")
    assert "TLS handshake failed" in manager.end


def test_nothing_of_before_tls_counts(manager):
    manager.trusts[MONTAGUE] = "any"
    peer = manager.outgoing()
    peer.answer(STARTTLS, id="s1")
    peer.proceed()
    stream = manager.stream
    assert stream.id == ""
    assert stream.features == ()
    peer.answer(PROOF, id="s2")
    assert stream.id == "s2"
    assert [each.name for each in stream.features] == ["proof"]


def test_a_target_may_begin_with_tls(manager):
    peer = manager.outgoing(tls=True)
    assert peer.header.attributes["to"] == MONTAGUE
    assert manager.stream.is_secure
    peer.answer(EXTERNAL)
    assert peer.receive_element().name == "auth"


def test_how_tls_is_begun(manager, monkeypatch):
    seen = []
    connect = manager.connector.connect

    def note(descriptor, server_name, *, host, alpn):
        seen.append((server_name, host, list(alpn)))
        return connect(descriptor, server_name)

    monkeypatch.setattr(manager.connector, "connect", note)
    manager.outgoing(tls=True)
    encrypted(manager)
    assert seen == [(MONTAGUE, CAPULET, ["xmpp-server"]), (MONTAGUE, CAPULET, [])]


# Certificates


@pytest.mark.parametrize(
    ("certificate", "fault", "told"),
    [
        (None, "", "no certificate"),
        (TRUSTED, "certificate has expired", "has expired"),
        (TRUSTED, "self signed certificate", "self signed"),
        (OTHER, "", "not for montague.example"),
        (certificate_of("rooms.montague.example"), "", "not for montague.example"),
    ],
)
def test_a_certificate_that_is_required_is_looked_at(manager, prover, certificate, fault, told):
    peer = encrypted(manager, EXTERNAL, certificate=certificate, fault=fault)
    assert peer.closed_with() == ""
    ((_, pair, condition, text),) = refusals(manager)
    assert (pair, condition) == (PAIR, "remote-server-timeout")
    assert told in text
    assert told in manager.end
    assert "opened" not in manager.told
    assert prover.events == [("closed", PAIR)]


@pytest.mark.parametrize(
    ("certificate", "fault"),
    [(TRUSTED, "certificate has expired"), (TRUSTED, "self signed certificate"), (OTHER, "")],
)
@pytest.mark.parametrize("trust", ["dialback", "any"])
def test_any_certificate_does_for_others(manager, trust, certificate, fault):
    manager.trusts[MONTAGUE] = trust
    encrypted(manager, EXTERNAL, certificate=certificate, fault=fault).accept()
    assert not manager.stream.has_certificate_of(MONTAGUE)


# Proofs


def test_our_certificate_proves_us(manager, prover):
    peer = encrypted(manager, EXTERNAL, PROOF)
    assert manager.told == ["opened"]
    assert peer.accept().text == "Y2FwdWxldC5leGFtcGxl"
    assert peer.header.attributes["from"] == CAPULET
    stream = manager.stream
    assert not stream.may_send(PAIR)
    assert not stream.is_authorized(PAIR)
    peer.answer(id="s3")
    assert stream.may_send(PAIR)
    assert manager.told == ["opened", ("authorized", PAIR)]
    assert prover.events == [("opened", PAIR, ["mechanisms", "proof"])]
    assert stream.send(OUT)
    manager.server.settle()
    assert peer.receive_first(Message).to_bytes() == OUT.to_bytes()
    assert stream.stanzas_out == 1


def test_of_a_peer_that_is_only_listened_to_nothing_is_kept_either(manager):
    peer = encrypted(manager, EXTERNAL)
    peer.accept()
    peer.send(header(from_=MONTAGUE, to=CAPULET, id="s3") + OUT.to_bytes())
    assert peer.closed_with() == "not-authorized"


def test_a_peer_may_ask_for_our_name_once_more(manager):
    peer = encrypted(manager, EXTERNAL)
    peer.receive_element()
    peer.send(f"<challenge xmlns='{NS_SASL}'/>")
    assert peer.receive_element().text == "Y2FwdWxldC5leGFtcGxl"
    peer.send(f"<challenge xmlns='{NS_SASL}'/>")
    assert "more than our certificate" in manager.end


@pytest.mark.parametrize("features", [(), (PLAIN,), (PROOF,)])
def test_else_a_plugin_does(manager, prover, features):
    peer = encrypted(manager, *features)
    assert peer.receive_element().name == "proof"
    assert manager.told == ["opened"]
    peer.send(PROOF)
    assert manager.told == ["opened", ("authorized", PAIR)]


def test_without_a_certificate_we_show_none(manager, prover):
    manager.has_certificate = False
    peer = encrypted(manager, EXTERNAL)
    assert peer.receive_element().name == "proof"


def test_external_is_for_streams_that_are_encrypted(manager):
    manager.trusts[MONTAGUE] = "any"
    peer = manager.outgoing()
    peer.answer(EXTERNAL)
    assert peer.receive_element().name == "proof"


def test_a_plugin_does_too_where_our_certificate_was_not_taken(manager, server):
    peer = encrypted(manager, EXTERNAL)
    peer.receive_element()
    peer.send(f"<failure xmlns='{NS_SASL}'><not-authorized/></failure>")
    assert peer.receive_element().name == "proof"
    (record,) = server.logged("certificate refused")
    assert record["reason"] == "not-authorized"
    peer.send(PROOF)
    assert manager.stream.may_send(PAIR)


def test_or_nobody_does(manager, prover):
    prover.answer = None
    peer = encrypted(manager, EXTERNAL)
    peer.receive_element()
    peer.send(f"<failure xmlns='{NS_SASL}'><not-authorized/><text>Who?</text></failure>")
    ((_, _, _, text),) = refusals(manager)
    assert "does not take our certificate: not-authorized: Who?" in text
    assert peer.closed_with() == ""


def test_there_may_be_no_way_to_prove_us(manager, prover):
    prover.answer = None
    peer = encrypted(manager, PROOF)
    assert peer.closed_with() == ""
    assert len(refusals(manager)) == 1
    assert "nothing else can prove us" in manager.end


def test_a_plugin_may_refuse(manager, prover):
    prover.fault = StanzaError("remote-server-not-found", "No such house.")
    encrypted(manager, PROOF)
    assert refusals(manager) == [("refused", PAIR, "remote-server-not-found", "No such house.")]
    assert manager.end is None


def test_a_peer_may_refuse_and_be_of_use_to_others(manager):
    encrypted(manager, PROOF)
    manager.stream.refuse(PAIR, StanzaError("remote-server-timeout", "Forbidden."))
    assert refusals(manager) == [("refused", PAIR, "remote-server-timeout", "Forbidden.")]
    assert manager.stream.is_open


def test_nothing_is_refused_on_streams_that_are_not_ours_or_over(manager):
    peer = manager.proven()
    manager.stream.refuse(PAIR, StanzaError("remote-server-timeout"))
    peer.drop()
    other = established(manager)
    other.drop()
    manager.stream.refuse(PAIR, StanzaError("remote-server-timeout"))
    assert refusals(manager) == []


def test_a_plugin_that_fails_proves_nothing(server, manager, prover):
    server.expect_errors()
    prover.fault = RuntimeError("too ill")
    encrypted(manager, PROOF)
    assert len(refusals(manager)) == 1
    assert server.kernel.hosts[CAPULET].plugins._failures["prover"][1] == 2


def test_a_policy_that_is_another_meanwhile_holds(manager):
    peer = encrypted(manager, EXTERNAL)
    peer.accept()
    manager.trusts[MONTAGUE] = None
    peer.answer()
    assert "it is not spoken to" in manager.end
    assert len(refusals(manager)) == 1


def test_a_host_that_is_gone_meanwhile_sends_nothing(manager, monkeypatch):
    peer = encrypted(manager, EXTERNAL)
    peer.accept()
    monkeypatch.setattr(manager, "host_of", lambda domain: None)
    peer.answer()
    assert ("authorized", PAIR) not in manager.told
    assert manager.end


# Further pairs


def test_a_further_pair_may_share_the_stream(manager, server, prover):
    server.kernel.router.add_route(ROOMS, lambda stanza: None, "host capulet.example")
    peer = established(manager)
    pair = Pair(ROOMS, MONTAGUE)
    assert manager.stream.prove(pair)
    assert peer.receive_element().name == "proof"
    assert not manager.stream.may_send(pair)
    peer.send(f"<proof xmlns='{NS_PROOF}' to='{ROOMS}'/>")
    assert manager.told[-1] == ("authorized", pair)
    assert manager.stream.authorized_pairs == {PAIR, pair}
    server.kernel.router.remove_route(ROOMS)


def test_not_where_its_certificate_does_not_do(manager, prover):
    established(manager)
    assert not manager.stream.prove(Pair(CAPULET, VERONA))
    assert prover.events[1:] == []


def test_not_where_nobody_proves_it(manager, prover):
    established(manager, certificate=certificate_of(MONTAGUE, VERONA))
    prover.answer = None
    assert not manager.stream.prove(Pair(CAPULET, VERONA))
    prover.fault = StanzaError("remote-server-timeout", "No.")
    assert manager.stream.prove(Pair(CAPULET, VERONA))
    assert refusals(manager)[0][1] == Pair(CAPULET, VERONA)


def test_not_before_tls_is_settled_nor_behind_the_end(manager, prover):
    manager.trusts[MONTAGUE] = "any"
    manager.outgoing()
    assert not manager.stream.prove(PAIR)
    established(manager)
    manager.stream.close()
    assert not manager.stream.prove(PAIR)


# Both directions


def test_a_bidirectional_stream_brings_stanzas_too(manager, server):
    juliet = server._hosts[CAPULET].connect("juliet@capulet.example/balcony")
    juliet.available()
    peer = encrypted(manager, EXTERNAL)
    manager.stream.make_bidirectional()
    peer.accept()
    peer.answer()
    peer.send(message())
    assert juliet.receive_message().body == "Hark!"
    assert manager.stream.stanzas_in == 1


def test_any_other_stream_does_not(manager):
    peer = established(manager)
    peer.send(message())
    assert peer.closed_with() == "not-authorized"


def test_a_peer_says_nothing_for_others(manager):
    peer = encrypted(manager, EXTERNAL)
    manager.stream.make_bidirectional()
    peer.accept()
    peer.answer()
    peer.send(message(from_="romeo@verona.example"))
    assert peer.closed_with() == "invalid-from"


def test_nor_anything_before_it_knows_us(manager):
    peer = encrypted(manager, EXTERNAL)
    manager.stream.make_bidirectional()
    peer.receive_element()
    peer.send(message())
    assert peer.closed_with() == "not-authorized"


def test_plugins_say_nothing_before_tls_is_settled(manager, prover):
    peer = manager.outgoing()
    peer.answer(STARTTLS)
    peer.receive_element()
    peer.send(PROOF)
    assert peer.closed_with() == "policy-violation"
    assert prover.events == [("closed", PAIR)]


# The end


def test_an_error_of_the_peers_is_told(manager):
    peer = manager.outgoing()
    peer.answer(STARTTLS)
    text = "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>Not here.</text>"
    peer.send(
        "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
        f"{text}</stream:error></stream:stream>"
    )
    assert manager.end == "the peer has ended the stream: host-unknown: Not here."
    assert manager.stream.peer_error == "host-unknown"
    assert peer.has_ended


def test_a_peer_that_is_silent_is_left(manager, server):
    manager.outgoing(timeout=20)
    server.clock.advance(19)
    assert manager.end is None
    server.clock.advance(2)
    assert manager.end == "the negotiation took too long"


@pytest.mark.parametrize("step", range(4))
def test_a_peer_may_be_silent_at_any_step(manager, server, step):
    peer = manager.outgoing(timeout=20)
    if step > 0:
        peer.answer(STARTTLS)
    if step > 1:
        peer.send(f"<proceed xmlns='{NS_TLS}'/>")
    if step > 2:
        peer.shake_hands()
    server.clock.advance(21)
    assert manager.end == "the negotiation took too long"
    assert manager.stream.is_gone or peer.closed_with() == "connection-timeout"


def test_a_peer_may_be_cut_off_at_any_step(manager):
    for step in range(3):
        manager.told.clear()
        peer = manager.outgoing()
        if step > 0:
            peer.answer(STARTTLS)
        if step > 1:
            peer.proceed()
        peer.drop()
        assert manager.end == "closed by the peer"
        assert not manager.stream.send(OUT)


def test_it_is_told_once_that_it_is_over(manager, prover):
    peer = established(manager)
    peer.close()
    peer.drop()
    manager.stream.close(StreamError("reset"))
    assert manager.end == "the peer has ended the stream"
    assert [event for event in prover.events if event[0] == "closed"] == [("closed", PAIR)]
    assert manager.stream.is_gone
