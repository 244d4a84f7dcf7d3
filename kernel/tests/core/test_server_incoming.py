"""Streams that other servers open: TLS, certificates, restarts, and what plugins prove."""

import pytest
from cryptography import x509
from server_cast import (
    CAPULET,
    MONTAGUE,
    NS_PROOF,
    OTHER,
    PAIR,
    ROOMS,
    TRUSTED,
    VERONA,
    message,
)

from stonechat.errors import StreamError
from stonechat.federation import Pair
from stonechat.namespaces import NS_SASL, NS_TLS
from stonechat.net.certificates import ID_ON_DNS_SRV
from stonechat.protocol.s2s import header
from stonechat.stanza import Message
from stonechat.testing.server_stream import certificate_of

PROOF = f"<proof xmlns='{NS_PROOF}'/>"
STARTTLS = f"<starttls xmlns='{NS_TLS}'/>"
STANZA = message()


def names(features):
    return [] if features is None else [each.name for each in features.elements]


# Headers


def test_our_header_answers(manager):
    peer = manager.incoming(header=False)
    peer.open(**{"xml:lang": "it"})
    head = peer.header.attributes
    assert (head["from"], head["to"], head["version"]) == (CAPULET, MONTAGUE, "1.0")
    assert len(head["id"]) == 32
    assert head["id"] == manager.stream.id
    # Nobody speaks dialback here.
    assert "db" not in peer.header.prefixes
    assert manager.stream.pair == PAIR


def test_no_id_is_there_twice(manager):
    peer = manager.incoming()
    ids = [peer.id]
    peer.start_tls()
    ids.append(peer.id)
    peer.authenticate()
    peer.open()
    ids.append(peer.id)
    assert len(set(ids)) == 3


@pytest.mark.parametrize("to", ["verona.example", "a b", "juliet@capulet.example", "@"])
def test_a_domain_that_is_none_of_ours(manager, to):
    peer = manager.incoming(header=False)
    peer.open(to)
    assert peer.closed_with() == "host-unknown"
    assert peer.header.attributes["from"] == CAPULET


def test_who_names_nobody_means_the_first_host(manager):
    peer = manager.incoming(header=False)
    assert names(peer.open("")) == ["starttls"]
    assert manager.stream.pair == PAIR


def test_a_service_of_ours_may_be_wanted(manager, server):
    server.kernel.router.add_route(ROOMS, lambda stanza: None, "host capulet.example")
    peer = manager.incoming(header=False, direct=True)
    peer.open(ROOMS.upper())
    assert peer.authenticate().name == "success"
    peer.open(ROOMS)
    assert manager.told == [("ready", Pair(ROOMS, MONTAGUE))]
    server.kernel.router.remove_route(ROOMS)


@pytest.mark.parametrize(
    ("octets", "condition"),
    [
        (b"<html>", "bad-format"),
        (b"GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        (
            header(from_=MONTAGUE, to=CAPULET).replace(b"jabber:server'", b"jabber:client'"),
            "invalid-namespace",
        ),
        (b"<!DOCTYPE x><stream:stream>", "restricted-xml"),
    ],
)
def test_what_opens_no_stream_is_told_so_behind_a_header(manager, octets, condition):
    peer = manager.incoming(header=False)
    peer.send(octets)
    assert peer.closed_with() == condition
    assert peer.header.attributes["from"] == CAPULET


def test_the_header_may_come_octet_by_octet(manager):
    peer = manager.incoming(header=False)
    octets = header(from_=MONTAGUE, to=CAPULET)
    for at in range(len(octets)):
        peer.connection.deliver(octets[at : at + 1])
    manager.server.settle()
    assert peer.header is not None


# Policy


def test_who_may_not_speak_to_us_is_sent_away(manager):
    manager.trusts[MONTAGUE] = None
    assert manager.incoming().closed_with() == "policy-violation"


@pytest.mark.parametrize("trust", ["require", "dialback"])
@pytest.mark.parametrize("starttls", ["required", "optional"])
def test_who_has_to_show_something_has_to_encrypt(manager, trust, starttls):
    manager.trusts[MONTAGUE] = trust
    peer = manager.incoming(starttls=starttls)
    assert names(peer.features) == ["starttls"]
    assert names(peer.features.elements[0]) == ["required"]


def test_who_need_not_may(manager):
    manager.trusts[MONTAGUE] = "any"
    peer = manager.incoming(starttls="optional")
    assert names(peer.features) == ["starttls", "proof"]
    assert names(peer.features.elements[0]) == []


def test_a_listener_may_want_it_of_everybody(manager):
    manager.trusts[MONTAGUE] = "any"
    assert names(manager.incoming(starttls="required").features.elements[0]) == ["required"]


def test_who_is_not_named_has_yet_to_prove_it(manager):
    manager.trusts[VERONA] = "any"
    peer = manager.incoming(header=False, starttls="optional")
    assert names(peer.open(from_="")) == ["starttls", "proof"]
    assert "to" not in peer.header.attributes
    assert manager.stream.pair == Pair(CAPULET, "")
    peer.send(f"<proof xmlns='{NS_PROOF}' from='{MONTAGUE}'/>")
    assert manager.told == []
    peer.send(f"<proof xmlns='{NS_PROOF}' from='{VERONA}'/>")
    assert manager.told == [("ready", Pair(CAPULET, VERONA))]


@pytest.mark.parametrize("trust", ["require", "dialback"])
def test_where_there_is_no_tls_nothing_can_be_shown(manager, trust):
    manager.trusts[MONTAGUE] = trust
    assert manager.incoming(starttls="off").closed_with() == "policy-violation"
    manager.contexts = None
    assert manager.incoming(starttls="optional").closed_with() == "policy-violation"
    assert manager.incoming().closed_with() == "policy-violation"


@pytest.mark.parametrize(
    ("certificate", "fault", "told"),
    [
        (None, "", "no certificate"),
        (TRUSTED, "certificate has expired", "has expired"),
        (TRUSTED, "self signed certificate", "self signed"),
        (OTHER, "", "not for montague.example"),
    ],
)
def test_a_certificate_that_is_required_is_looked_at(manager, certificate, fault, told):
    peer = manager.incoming(certificate=certificate, fault=fault, direct=True)
    assert peer.closed_with() == "policy-violation"
    assert told in peer.error.find_text("text", "urn:ietf:params:xml:ns:xmpp-streams")
    assert not manager.stream.is_authorized(PAIR)


@pytest.mark.parametrize(
    ("certificate", "fault"),
    [(None, ""), (TRUSTED, "certificate has expired"), (TRUSTED, "self signed"), (OTHER, "")],
)
@pytest.mark.parametrize("trust", ["dialback", "any"])
def test_others_may_come_without_it_but_cannot_use_it(manager, trust, certificate, fault):
    manager.trusts[MONTAGUE] = trust
    peer = manager.incoming(certificate=certificate, fault=fault, direct=True)
    assert names(peer.features) == ["proof"]
    answer = peer.authenticate()
    assert names(answer)[0] == "invalid-mechanism"
    assert not manager.stream.has_certificate_of(MONTAGUE)
    peer.send(PROOF)
    assert manager.told == [("ready", PAIR)]


def subject(*alternatives):
    """Certificates whose names are these and no others, whatever stands in their subject."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, MONTAGUE),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "x, CN=montague.example"),
        ]
    )
    model = certificate_of(VERONA)
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=model.not_valid_before_utc,
        not_valid_after=model.not_valid_after_utc,
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(key, hashes.SHA256())


def srv(name):
    return x509.OtherName(ID_ON_DNS_SRV, bytes((0x16, len(name))) + name.encode())


@pytest.mark.parametrize(
    ("remote", "alternatives", "is_good"),
    [
        (MONTAGUE, [], False),
        (MONTAGUE, [x509.DNSName("montague.example")], True),
        (MONTAGUE, [x509.DNSName("*.example")], False),
        (MONTAGUE, [x509.DNSName("xmontague.example")], False),
        ("rooms.montague.example", [x509.DNSName("*.montague.example")], True),
        ("a.rooms.montague.example", [x509.DNSName("*.montague.example")], False),
        (MONTAGUE, [x509.DNSName("*.montague.example")], False),
        (MONTAGUE, [srv("_xmpp-server.montague.example")], True),
        (MONTAGUE, [srv("_xmpp-client.montague.example")], False),
        ("bücher.example", [x509.DNSName("xn--bcher-kva.example")], True),
        ("bücher.example", [x509.DNSName("bucher.example")], False),
        ("198.51.100.7", [x509.DNSName("198.51.100.7")], False),
    ],
)
def test_the_names_in_a_certificate_decide(manager, remote, alternatives, is_good):
    peer = manager.incoming(remote=remote, certificate=subject(*alternatives), direct=True)
    if is_good:
        assert peer.authenticate().name == "success"
    else:
        assert peer.closed_with() == "policy-violation"


# STARTTLS


def test_tls_begins_the_stream_anew(manager, prover):
    peer = manager.incoming()
    assert not manager.stream.is_secure
    features = peer.start_tls()
    assert manager.stream.is_secure
    assert names(features) == ["mechanisms", "proof"]


def test_what_was_said_in_the_clear_counts_for_nothing(manager):
    manager.trusts[MONTAGUE] = "any"
    peer = manager.incoming(starttls="optional")
    peer.send(f"<both xmlns='{NS_PROOF}'/>")
    stream = manager.stream
    stream.data["prover"] = 1
    assert stream.is_bidirectional
    peer.send(STARTTLS)
    peer.shake_hands()
    assert not stream.is_bidirectional
    assert stream.data == {}
    assert stream.pair == Pair("", "")


def test_a_word_from_before_tls_proves_nothing_behind_it(manager):
    manager.trusts[MONTAGUE] = "any"
    peer = manager.incoming(starttls="optional")
    peer.send(STARTTLS)
    peer.shake_hands()
    manager.stream.authorize(PAIR, "a word that came late")
    assert not manager.stream.is_authorized(PAIR)


def test_whoever_tried_before_tls_may_try_behind_it(manager):
    manager.trusts[MONTAGUE] = "any"
    peer = manager.incoming(starttls="optional")
    assert names(peer.authenticate())[0] == "invalid-mechanism"
    peer.start_tls()
    assert peer.authenticate().name == "success"


@pytest.mark.parametrize("behind", [" ", "x", header(from_=MONTAGUE, to=CAPULET).decode()])
def test_octets_in_the_clear_are_not_taken_for_encrypted(manager, behind):
    peer = manager.incoming()
    peer.connection.deliver((STARTTLS + behind).encode())
    manager.server.settle()
    peer.shake_hands()
    if behind == " ":
        # White space between elements is nobody's, and nothing is kept of it.
        assert manager.stream.is_secure
    else:
        assert peer.is_closed
        assert not manager.stream.is_secure


def test_what_is_no_tls_ends_the_stream(manager):
    peer = manager.incoming()
    peer.send(STARTTLS)
    peer.send(header(from_=MONTAGUE, to=CAPULET))
    assert peer.is_closed
    assert "TLS handshake failed" in manager.end


def test_tls_that_is_not_offered_cannot_be_had(manager):
    manager.trusts[MONTAGUE] = "any"
    peer = manager.incoming(starttls="off")
    assert names(peer.features) == ["proof"]
    peer.send(STARTTLS)
    assert peer.receive_element().name == "failure"
    assert peer.closed_with() == ""


def test_tls_comes_before_a_proof(manager):
    manager.trusts[MONTAGUE] = "any"
    peer = manager.incoming(starttls="optional")
    peer.send(PROOF)
    peer.send(STARTTLS)
    assert peer.receive_element().name == "failure"
    assert peer.is_closed


def test_nothing_else_comes_before_tls(manager, prover):
    peer = manager.incoming()
    assert names(peer.authenticate()) == ["encryption-required", "text"]
    peer.send(PROOF)
    assert peer.closed_with() == "policy-violation"
    assert prover.events == [("closed", PAIR)]


def test_a_port_may_begin_with_tls(manager):
    peer = manager.incoming(direct=True)
    assert names(peer.features) == ["mechanisms", "proof"]
    peer.send(STARTTLS)
    assert peer.closed_with() == "unsupported-stanza-type"


# SASL EXTERNAL


def test_a_good_certificate_is_all_it_takes(manager):
    peer = manager.incoming()
    peer.start_tls()
    assert [each.text for each in peer.features.elements[0].elements] == ["EXTERNAL"]
    stream = manager.stream
    assert peer.authenticate().name == "success"
    assert not stream.is_authorized(PAIR)
    assert names(peer.open()) == ["proof"]
    assert stream.is_authorized(PAIR)
    assert stream.authorized_pairs == {PAIR}
    assert manager.told == [("ready", PAIR)]


@pytest.mark.parametrize("text", ["=", "bW9udGFndWUuZXhhbXBsZQ=="])
def test_the_domain_may_be_left_out(manager, text):
    peer = manager.incoming(direct=True)
    peer.send(f"<auth xmlns='{NS_SASL}' mechanism='EXTERNAL'>{text}</auth>")
    assert peer.receive_element().name == "success"


def test_it_may_come_when_it_is_asked_for(manager):
    peer = manager.incoming(direct=True)
    peer.send(f"<auth xmlns='{NS_SASL}' mechanism='EXTERNAL'/>")
    assert peer.receive_element().name == "challenge"
    peer.send(f"<response xmlns='{NS_SASL}'>=</response>")
    assert peer.receive_element().name == "success"


@pytest.mark.parametrize("domain", [VERONA, "x", "romeo@montague.example", "a b"])
def test_nobody_acts_for_another_domain(manager, domain):
    peer = manager.incoming(direct=True, certificate=certificate_of(MONTAGUE, VERONA))
    answer = peer.authenticate(domain)
    assert names(answer)[0] == "invalid-authzid"
    assert peer.authenticate().name == "success"


def test_there_is_an_end_of_attempts(manager):
    peer = manager.incoming(direct=True)
    for _ in range(3):
        assert peer.authenticate(VERONA).name == "failure"
    assert peer.closed_with() == "policy-violation"


def test_an_attempt_may_be_given_up(manager):
    peer = manager.incoming(direct=True)
    peer.send(f"<auth xmlns='{NS_SASL}' mechanism='EXTERNAL'/><abort xmlns='{NS_SASL}'/>")
    peer.receive_element()
    assert names(peer.receive_element()) == ["aborted"]


def test_octets_behind_the_attempt_are_refused(manager):
    peer = manager.incoming(direct=True)
    auth = f"<auth xmlns='{NS_SASL}' mechanism='EXTERNAL'>=</auth>"
    peer.send(auth + header(from_=MONTAGUE, to=CAPULET).decode())
    assert peer.closed_with() == "policy-violation"
    assert manager.told == [("lost", manager.end)]


@pytest.mark.parametrize(
    ("attributes", "condition"),
    [
        ({"from_": VERONA}, "invalid-from"),
        ({"from_": ""}, "invalid-from"),
        ({"to": ROOMS}, "host-unknown"),
        ({"to": "verona.example"}, "host-unknown"),
    ],
)
def test_nobody_becomes_another_afterwards(manager, server, attributes, condition):
    server.kernel.router.add_route(ROOMS, lambda stanza: None, "host capulet.example")
    manager.trusts[VERONA] = "any"
    peer = manager.incoming(direct=True, certificate=certificate_of(MONTAGUE, VERONA))
    peer.authenticate()
    peer.open(**attributes)
    assert peer.closed_with() == condition
    assert manager.told == [("lost", manager.end)]
    server.kernel.router.remove_route(ROOMS)


def test_a_host_that_is_gone_meanwhile_takes_nobody(manager, monkeypatch):
    peer = manager.incoming(direct=True)
    peer.authenticate()
    monkeypatch.setattr(manager, "host_of", lambda domain: None)
    peer.open()
    assert peer.closed_with() == "host-unknown"


def test_a_policy_that_is_another_meanwhile_holds(manager):
    peer = manager.incoming(direct=True)
    peer.authenticate()
    manager.trusts[MONTAGUE] = None
    peer.open()
    assert peer.closed_with() == "policy-violation"


def test_authenticated_is_authenticated(manager):
    peer = manager.proven()
    peer.send(f"<auth xmlns='{NS_SASL}' mechanism='EXTERNAL'>=</auth>")
    assert peer.closed_with() == "unsupported-stanza-type"


# Servers from before XMPP 1.0


def test_an_old_server_is_told_no_features(manager):
    manager.trusts[MONTAGUE] = "any"
    peer = manager.incoming(header=False, starttls="optional")
    assert peer.open(version="") is None
    assert "version" not in peer.header.attributes
    peer.send(PROOF)
    assert manager.told == [("ready", PAIR)]


@pytest.mark.parametrize("trust", ["require", "dialback"])
@pytest.mark.parametrize("direct", [False, True])
def test_an_old_server_is_welcome_where_nothing_is_wanted_of_it(manager, trust, direct):
    manager.trusts[MONTAGUE] = trust
    peer = manager.incoming(header=False, starttls="optional", direct=direct)
    peer.open(version="")
    assert peer.closed_with() == "unsupported-version"


def test_an_old_server_cannot_encrypt(manager):
    manager.trusts[MONTAGUE] = "any"
    peer = manager.incoming(header=False)
    peer.open(version="")
    assert peer.closed_with() == "policy-violation"


# Plugins


def test_a_plugin_proves_a_domain(manager, prover):
    manager.trusts[MONTAGUE] = "dialback"
    peer = manager.incoming(certificate=OTHER, direct=True)
    peer.send(PROOF)
    assert manager.told == [("ready", PAIR)]
    peer.send(PROOF)
    assert manager.told == [("ready", PAIR)]
    assert manager.stream.trust(MONTAGUE) == "dialback"


@pytest.mark.parametrize(
    ("remote", "local"), [(VERONA, CAPULET), (MONTAGUE, "nowhere.example"), (MONTAGUE, "a b")]
)
def test_a_plugin_cannot_prove_everything(manager, remote, local):
    peer = manager.proven()
    peer.send(f"<proof xmlns='{NS_PROOF}' from='{remote}' to='{local}'/>")
    assert manager.stream.authorized_pairs == {PAIR}


def test_several_domains_may_share_a_stream(manager):
    manager.trusts[VERONA] = "dialback"
    peer = manager.proven()
    peer.send(f"<proof xmlns='{NS_PROOF}' from='{VERONA}'/>")
    assert manager.told[1:] == [("ready", Pair(CAPULET, VERONA))]


def test_they_may_not_be_any_number(manager, monkeypatch):
    monkeypatch.setattr("stonechat.core.server_proofs.MOST_PAIRS", 2)
    monkeypatch.setattr(manager, "policy", lambda local, remote: "any")
    peer = manager.proven()
    for number in range(2):
        peer.send(f"<proof xmlns='{NS_PROOF}' from='m{number}.example'/>")
    assert peer.closed_with() == "resource-constraint"
    assert len(manager.stream.authorized_pairs) == 2


def test_what_nobody_understands_ends_the_stream(manager):
    peer = manager.incoming(direct=True)
    peer.send("<x xmlns='urn:example'/>")
    assert peer.closed_with() == "unsupported-stanza-type"


def test_a_plugin_may_end_it(manager, prover):
    prover.fault = StreamError("conflict")
    peer = manager.incoming(direct=True)
    peer.send(PROOF)
    assert peer.closed_with() == "conflict"


def test_a_plugin_that_fails_ends_it_too(server, manager, prover):
    server.expect_errors()
    prover.fault = RuntimeError("too ill")
    peer = manager.incoming(direct=True)
    peer.send(PROOF)
    assert peer.closed_with() == "internal-server-error"
    assert server.kernel.hosts[CAPULET].plugins._failures["prover"][1] == 1


def test_a_feature_that_cannot_be_made_is_left_out(server, manager, prover, monkeypatch):
    server.expect_errors()

    def fail(stream):
        raise RuntimeError("too ill")

    host = server.kernel.hosts[CAPULET]
    monkeypatch.setattr(host, "server_feature_makers", (("prover", fail),))
    assert names(manager.incoming(direct=True).features) == ["mechanisms"]


def test_what_a_plugin_offers_goes_with_it(server, manager):
    server._hosts[CAPULET].disable("prover")
    peer = manager.incoming(direct=True)
    assert names(peer.features) == ["mechanisms"]
    peer.send(PROOF)
    assert peer.closed_with() == "unsupported-stanza-type"


def test_both_directions_are_agreed_on_before_a_proof(manager):
    peer = manager.incoming(direct=True)
    peer.send(f"<both xmlns='{NS_PROOF}'/>")
    peer.authenticate()
    assert manager.told == []
    peer.open()
    assert manager.told == [("ready", PAIR), ("authorized", PAIR)]
    assert manager.stream.may_send(PAIR)
    assert manager.stream.send(message("romeo@montague.example", "juliet@capulet.example"))
    manager.server.settle()
    assert peer.receive_first(Message).body == "Hark!"


def test_both_directions_are_not_agreed_on_behind_one(manager):
    peer = manager.proven()
    peer.send(f"<both xmlns='{NS_PROOF}'/>")
    assert peer.closed_with() == "policy-violation"
    assert not manager.stream.may_send(PAIR)


def test_the_end_is_told_once(manager, prover):
    peer = manager.proven()
    peer.close()
    manager.server.settle()
    assert manager.end == "the peer has ended the stream"
    assert prover.events == [("closed", PAIR)]
    assert peer.has_ended
    assert not manager.stream.send(STANZA)


def test_a_manager_may_have_no_room(manager, monkeypatch):
    monkeypatch.setattr(
        manager, "begun", lambda stream: stream.close(StreamError("resource-constraint"))
    )
    peer = manager.incoming(header=False)
    assert peer.closed_with() == "resource-constraint"
    direct = manager.incoming(header=False, direct=True)
    assert direct.is_closed
    assert manager.kernel.books.connection_count == 0
