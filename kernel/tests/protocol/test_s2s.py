"""A stream between servers, without a socket: what may come when, on either side."""

import pytest

from stonechat.errors import StreamError, XMLError
from stonechat.namespaces import NS_CLIENT, NS_DIALBACK, NS_SASL, NS_TLS
from stonechat.protocol import reader
from stonechat.protocol.c2s import SaslInput
from stonechat.protocol.s2s import (
    Features,
    InitiatingStream,
    PeerFailed,
    ReceivingStream,
    SaslAccepted,
    SaslChallenged,
    SaslRefused,
    StartTls,
    State,
    StreamClosed,
    StreamOpened,
    TlsRefused,
    element_to_bytes,
    external_exchange,
    header,
)
from stonechat.sasl import SaslChallenge, SaslFailed, SaslSuccess
from stonechat.stanza import Message, Stanza
from stonechat.xml import Element

HEADER = header(from_="montague.example", to="capulet.example", speaks_dialback=True)
ANSWER = header(from_="montague.example", to="capulet.example", id="s1", speaks_dialback=True)
FEATURES = (
    b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
)
STARTTLS = f"<starttls xmlns='{NS_TLS}'/>".encode()
PROCEED = f"<proceed xmlns='{NS_TLS}'/>".encode()
SUCCESS = f"<success xmlns='{NS_SASL}'/>".encode()
MESSAGE = b"<message from='romeo@montague.example' to='juliet@capulet.example'/>"


class Listener:
    """One side of a stream, and what it has told."""

    def __init__(self, stream, on_event=None):
        self.stream = stream
        self.events = []
        self.on_event = on_event or (lambda event: None)

    def feed(self, octets):
        begin = len(self.events)
        self.stream.receive(octets, self._note)
        return self.events[begin:]

    def _note(self, event):
        self.events.append(event)
        self.on_event(event)


@pytest.fixture
def receiving():
    return Listener(ReceivingStream(10_000))


@pytest.fixture
def initiating():
    return Listener(InitiatingStream(10_000))


def kinds(events):
    return [type(event) for event in events]


# Headers


def test_a_header_opens_a_stream(receiving, initiating):
    assert receiving.feed(HEADER) == [
        StreamOpened("capulet.example", "montague.example", "", is_old=False, speaks_dialback=True)
    ]
    assert receiving.stream.state is State.OPEN
    assert initiating.feed(ANSWER)[0].id == "s1"
    assert initiating.stream.state is State.FEATURES


def test_our_header_says_what_servers_want_to_read():
    octets = header(from_="a'b.example", to="", id="<1>")
    assert b"xmlns='jabber:server'" in octets
    assert b"jabber:server:dialback" not in octets
    assert b"from='a&apos;b.example'" in octets
    assert b"id='&lt;1&gt;'" in octets
    assert b"version='1.0'" in octets
    assert b" to=" not in octets
    assert b"version='1.0'>" not in header(from_="a", to="b", id="1", is_old=True)


def test_it_tells_of_dialback_where_that_is_spoken(receiving):
    octets = header(from_="montague.example", to="capulet.example", speaks_dialback=True)
    assert b" xmlns:db='jabber:server:dialback' " in octets
    assert receiving.feed(octets)[0].speaks_dialback


def test_who_names_no_version_is_old(receiving, initiating):
    old = HEADER.replace(b" version='1.0'>", b">")
    assert receiving.feed(old)[0].is_old
    assert initiating.feed(old)[0].is_old
    assert initiating.stream.state is State.OPEN


def test_who_declares_no_dialback_does_not_speak_it(receiving, initiating):
    silent = HEADER.replace(b" xmlns:db='jabber:server:dialback'", b"")
    assert not receiving.feed(silent)[0].speaks_dialback
    assert not initiating.feed(silent)[0].speaks_dialback


@pytest.mark.parametrize(
    ("old", "new", "condition"),
    [
        (b"xmlns='jabber:server'", b"xmlns='jabber:client'", "invalid-namespace"),
        (b"http://etherx", b"http://other", "invalid-namespace"),
        (b"<stream:stream", b"<stream:river", "bad-format"),
        (b" version='1.0'>", b" version='0.9'>", "unsupported-version"),
        (b" version='1.0'>", b" version='x'>", "unsupported-version"),
    ],
)
@pytest.mark.parametrize("kind", [ReceivingStream, InitiatingStream])
def test_another_header_opens_nothing(kind, old, new, condition):
    assert old in HEADER
    with pytest.raises(StreamError) as refused:
        Listener(kind(10_000)).feed(HEADER.replace(old, new))
    assert refused.value.condition == condition


@pytest.mark.parametrize(
    "octets",
    [
        b"<!DOCTYPE x [<!ENTITY e 'e'>]>" + HEADER,
        HEADER + b"<!DOCTYPE x>",
        HEADER + b"<!-- -->",
        HEADER + b"<message>&e;</message>",
        b"\xff\xfe<\0",
    ],
)
def test_what_xmpp_forbids_in_xml_is_refused(receiving, octets):
    with pytest.raises(XMLError):
        receiving.feed(octets)


def test_a_header_has_a_bound(receiving):
    with pytest.raises(XMLError, match="larger"):
        receiving.feed(HEADER[:-1] + b" x='" + b"x" * 10_000)


# Split input


def test_the_receiving_side_may_be_fed_octet_by_octet(receiving):
    octets = HEADER + MESSAGE + b"</stream:stream>"
    for at in range(len(octets)):
        receiving.feed(octets[at : at + 1])
    assert kinds(receiving.events) == [StreamOpened, Message, StreamClosed]


def test_the_initiating_side_may_be_fed_octet_by_octet(initiating):
    octets = ANSWER + FEATURES + MESSAGE + b"<stream:error>"
    octets += b"<reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
    for at in range(len(octets)):
        initiating.feed(octets[at : at + 1])
    assert kinds(initiating.events) == [StreamOpened, Features, Message, PeerFailed]


def test_what_came_before_a_fault_counts(receiving):
    with pytest.raises(XMLError):
        receiving.feed(HEADER + MESSAGE + b"</no>")
    assert kinds(receiving.events) == [StreamOpened, Message]


def test_nothing_counts_behind_the_end(receiving):
    assert kinds(receiving.feed(HEADER + b"</stream:stream>")) == [StreamOpened, StreamClosed]
    assert receiving.stream.state is State.CLOSED


def test_whoever_closes_it_hears_no_more(receiving):
    receiving.on_event = lambda event: receiving.stream.close()
    assert kinds(receiving.feed(HEADER + MESSAGE + b"</no>")) == [StreamOpened]


# TLS, receiving


def test_starttls_is_asked_for(receiving):
    receiving.feed(HEADER)
    assert kinds(receiving.feed(STARTTLS)) == [StartTls]
    assert receiving.stream.state is State.ENCRYPTING
    receiving.stream.encrypted()
    assert kinds(receiving.feed(HEADER)) == [StreamOpened]


@pytest.mark.parametrize("behind", [b"x", b"<", MESSAGE, HEADER, b"</stream:stream>"])
def test_octets_behind_starttls_are_an_attack(receiving, behind):
    receiving.feed(HEADER)
    with pytest.raises((StreamError, XMLError)):
        receiving.feed(STARTTLS + behind)
    assert StartTls() not in receiving.events


@pytest.mark.parametrize("behind", [b" ", b"x", HEADER])
def test_octets_in_the_clear_while_tls_begins_are_an_attack(receiving, behind):
    receiving.feed(HEADER + STARTTLS)
    with pytest.raises(StreamError) as refused:
        receiving.feed(behind)
    assert refused.value.condition == "policy-violation"


def test_tls_begins_once(receiving):
    receiving.feed(HEADER + STARTTLS)
    receiving.stream.encrypted()
    receiving.feed(HEADER)
    assert kinds(receiving.feed(STARTTLS)) == [Element]


# TLS, initiating


@pytest.fixture
def asking(initiating):
    initiating.feed(ANSWER + FEATURES)
    assert initiating.stream.ask_tls() == STARTTLS
    return initiating


def test_tls_begins_when_the_peer_agrees(asking):
    assert kinds(asking.feed(PROCEED)) == [StartTls]
    asking.stream.encrypted()
    assert kinds(asking.feed(ANSWER + FEATURES)) == [StreamOpened, Features]


@pytest.mark.parametrize("behind", [b"x", b"<", MESSAGE, ANSWER + FEATURES])
def test_octets_behind_proceed_are_an_attack(asking, behind):
    with pytest.raises((StreamError, XMLError)):
        asking.feed(PROCEED + behind)
    assert StartTls() not in asking.events


def test_octets_in_the_clear_behind_proceed_are_an_attack_later_too(asking):
    asking.feed(PROCEED)
    with pytest.raises(StreamError):
        asking.feed(ANSWER)


def test_a_peer_may_refuse_tls(asking):
    assert asking.feed(f"<failure xmlns='{NS_TLS}'/>".encode()) == [TlsRefused()]
    assert asking.stream.state is State.CLOSED


def test_nobody_asked_for_what_comes_so(initiating):
    initiating.feed(ANSWER + FEATURES)
    assert kinds(initiating.feed(PROCEED + SUCCESS + FEATURES)) == [Element] * 3
    assert initiating.stream.state is State.OPEN


# SASL


def test_sasl_is_the_receivers_until_it_was_successful(receiving):
    receiving.feed(HEADER)
    auth = f"<auth xmlns='{NS_SASL}' mechanism='EXTERNAL'>=</auth>".encode()
    assert receiving.feed(auth) == [SaslInput("auth", "EXTERNAL", "=")]
    receiving.stream.authenticated()
    receiving.feed(HEADER)
    assert kinds(receiving.feed(auth)) == [Element]


@pytest.mark.parametrize("behind", [MESSAGE, HEADER, b"<", b"</no>"])
def test_octets_before_the_restart_are_refused(receiving, behind):
    receiving.feed(HEADER)
    receiving.on_event = lambda event: receiving.stream.authenticated()
    with pytest.raises((StreamError, XMLError)):
        receiving.feed(f"<auth xmlns='{NS_SASL}' mechanism='EXTERNAL'/>".encode() + behind)
    assert len(receiving.events) == 2


def test_we_say_who_we_are(initiating):
    initiating.feed(ANSWER + FEATURES)
    assert initiating.stream.authenticate("capulet.example") == (
        b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>"
        b"Y2FwdWxldC5leGFtcGxl</auth>"
    )
    assert initiating.feed(f"<challenge xmlns='{NS_SASL}'/>".encode()) == [SaslChallenged()]
    assert b"<response" in initiating.stream.respond("capulet.example")
    initiating.on_event = lambda event: initiating.stream.authenticated()
    assert initiating.feed(SUCCESS) == [SaslAccepted()]
    initiating.on_event = lambda event: None
    assert kinds(initiating.feed(ANSWER + FEATURES)) == [StreamOpened, Features]


@pytest.fixture
def early(initiating):
    """A stream whose peer may speak before it has begun it anew."""
    initiating.feed(ANSWER + FEATURES)
    initiating.stream.authenticate("capulet.example", is_used_early=True)

    def note(event):
        if isinstance(event, SaslAccepted):
            initiating.stream.authenticated()

    initiating.on_event = note
    del initiating.events[:]
    return initiating


DISGUISED = (
    b"<message><body><![CDATA[" + ANSWER + FEATURES + b"]]></body></message>",
    b"<message id='>" + ANSWER.replace(b"<", b"&lt;").replace(b"'", b"&apos;") + b"'/>",
    b"<message><stream xmlns='urn:example'/></message>",
)


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 11, 10_000])
@pytest.mark.parametrize(
    "behind",
    [
        (MESSAGE,),
        (MESSAGE, b" \n", MESSAGE, b" "),
        (b"<message><body>a > b &gt; c</body></message>", MESSAGE),
        *((each, MESSAGE) for each in DISGUISED),
    ],
)
@pytest.mark.parametrize(
    "anew", [ANSWER, ANSWER.removeprefix(b"<?xml version='1.0'?>"), b"\n" + ANSWER]
)
def test_stanzas_may_come_before_the_stream_begins_anew(early, step, behind, anew):
    octets = SUCCESS + b"".join(behind) + anew + FEATURES + MESSAGE
    for at in range(0, len(octets), step):
        early.feed(octets[at : at + step])
    stanzas = sum(not each.isspace() for each in behind)
    expected = [SaslAccepted, *[Message] * stanzas, StreamOpened, Features, Message]
    assert kinds(early.events) == expected
    assert early.stream.state is State.OPEN


def test_the_new_header_may_have_another_prefix(early):
    head = ANSWER.replace(b"stream:stream", b"s:stream").replace(b"xmlns:stream", b"xmlns:s")
    head = head.removeprefix(b"<?xml version='1.0'?>")
    assert kinds(early.feed(SUCCESS + MESSAGE + head)) == [SaslAccepted, Message, StreamOpened]


def test_a_new_header_declares_anew(early):
    old = b"<message><db:x/></message>"
    new = old.replace(b"db:", b"e:")
    early.feed(SUCCESS + old + ANSWER.replace(b"xmlns:db", b"xmlns:e") + FEATURES + new)
    stanzas = [event for event in early.events if isinstance(event, Message)]
    assert [each.children for each in stanzas] == [("jabber:server:dialback x",)] * 2
    with pytest.raises(XMLError):
        early.feed(old)


@pytest.mark.parametrize(
    "octets",
    [
        b"x",
        b"<>",
        b"<bidi xmlns='urn:xmpp:bidi'/>",
        b"<!DOCTYPE x>",
        b"<?x?>",
        FEATURES,
        SUCCESS,
        b"<" + b"x" * 2000 + b">",
    ],
)
def test_nothing_else_may(early, octets):
    early.feed(SUCCESS + MESSAGE)
    with pytest.raises((StreamError, XMLError)):
        early.feed(octets + b">")
    assert kinds(early.events)[1:] == [Message]


def test_the_peer_may_end_it_just_then(early):
    assert kinds(early.feed(SUCCESS + MESSAGE + b"</stream:stream>" + ANSWER)) == [
        *(SaslAccepted, Message, StreamClosed)
    ]
    assert early.stream.state is State.CLOSED


def test_or_with_an_error(early):
    octets = b"<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
    assert kinds(early.feed(SUCCESS + octets + ANSWER)) == [SaslAccepted, PeerFailed]


def test_who_may_speak_early_may_say_no_too(early):
    failure = f"<failure xmlns='{NS_SASL}'><not-authorized/></failure>".encode()
    assert kinds(early.feed(failure + MESSAGE)) == [SaslRefused, Message]
    assert early.stream.state is State.OPEN


def test_what_it_says_early_has_a_bound(early):
    early.feed(SUCCESS)
    with pytest.raises(XMLError, match="larger"):
        early.feed(b"<message><body>" + b">" * 10_000)


def test_nobody_else_may_speak_early(initiating):
    initiating.feed(ANSWER + FEATURES)
    initiating.stream.authenticate("capulet.example")
    initiating.on_event = lambda event: initiating.stream.authenticated()
    with pytest.raises(StreamError) as refused:
        initiating.feed(SUCCESS + MESSAGE)
    assert refused.value.condition == "policy-violation"


def test_the_peer_may_not_believe_it(initiating):
    initiating.feed(ANSWER + FEATURES)
    initiating.stream.authenticate("capulet.example")
    failure = f"<failure xmlns='{NS_SASL}'><not-authorized/><text>No.</text></failure>"
    assert initiating.feed(failure.encode()) == [SaslRefused("not-authorized", "No.")]
    assert kinds(initiating.feed(SUCCESS)) == [Element]


def exchange(**options):
    return external_exchange(
        "montague.example", **{"is_offered": True, "failure_limit": 3, **options}
    )


@pytest.mark.parametrize("text", ["=", "bW9udGFndWUuZXhhbXBsZQ==", "TW9udGFndWUuRVhBTVBMRQ=="])
def test_a_domain_is_said_or_left_out(text):
    event = exchange().begin("EXTERNAL", text)
    assert isinstance(event, SaslSuccess)
    assert event.account.text == "montague.example"


def test_it_may_be_said_when_it_is_asked_for():
    attempts = exchange()
    assert attempts.begin("EXTERNAL", "") == SaslChallenge("")
    assert isinstance(attempts.respond("="), SaslSuccess)


@pytest.mark.parametrize(
    ("mechanism", "text", "condition"),
    [
        ("EXTERNAL", "dmVyb25hLmV4YW1wbGU=", "invalid-authzid"),
        ("EXTERNAL", "cm9tZW9AbW9udGFndWUuZXhhbXBsZQ==", "invalid-authzid"),
        ("EXTERNAL", "IA==", "invalid-authzid"),
        ("EXTERNAL", "bW9udGFndWUuZXhhbXBsZQ", "incorrect-encoding"),
        ("EXTERNAL", "/w==", "malformed-request"),
        ("PLAIN", "=", "invalid-mechanism"),
        ("", "=", "invalid-mechanism"),
    ],
)
def test_anything_else_is_refused(mechanism, text, condition):
    event = exchange().begin(mechanism, text)
    assert isinstance(event, SaslFailed)
    assert event.failure.condition == condition


def test_it_is_not_for_whom_it_is_not_offered():
    assert exchange(is_offered=False).begin("EXTERNAL", "=").failure.condition == (
        "invalid-mechanism"
    )


# Others


def test_an_error_ends_the_stream(initiating):
    initiating.feed(ANSWER + FEATURES)
    octets = (
        b"<stream:error><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>Not here.</text>"
        b"<host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
    )
    assert initiating.feed(octets + MESSAGE) == [PeerFailed("host-unknown", "Not here.")]


def test_an_error_may_say_nothing(receiving):
    receiving.feed(HEADER)
    assert receiving.feed(b"<stream:error/>") == [PeerFailed("undefined-condition", "")]


def test_a_stranger_has_less_room_than_one_who_is_admitted(receiving):
    receiving.feed(HEADER)
    receiving.stream.admit(100_000)
    big = b"<message><body>" + b"o" * 50_000 + b"</body></message>"
    assert kinds(receiving.feed(big)) == [Message]
    with pytest.raises(XMLError, match="larger"):
        receiving.feed(big + b"<message><body>" + b"o" * 100_000)


def test_a_stranger_has_no_room_for_more(receiving):
    receiving.feed(HEADER)
    with pytest.raises(XMLError, match="larger"):
        receiving.feed(b"<message><body>" + b"o" * 10_000)
    other = Listener(ReceivingStream(10_000))
    other.feed(HEADER)
    with pytest.raises(XMLError, match="Too many elements"):
        other.feed(b"<message>" + b"<x/>" * 64 + b"</message>")


def test_dialback_has_the_prefix_of_our_header():
    result = Element(NS_DIALBACK, "result", {"from": "a", "to": "b", "type": "error"})
    error = Element(NS_CLIENT, "error", {"type": "cancel"})
    error.add("item-not-found", namespace="urn:ietf:params:xml:ns:xmpp-stanzas")
    result.append(error)
    assert element_to_bytes(result) == (
        b"<db:result from='a' to='b' type='error'><error type='cancel'><item-not-found"
        b" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>"
    )
    assert element_to_bytes(Element("urn:xmpp:bidi", "bidi")) == b"<bidi xmlns='urn:xmpp:bidi'/>"


def test_dialback_declares_its_prefix_where_our_header_did_not(receiving):
    octets = element_to_bytes(Element(NS_DIALBACK, "verify", {"id": "1"}), is_db_declared=False)
    assert octets == b"<db:verify id='1' xmlns:db='jabber:server:dialback'/>"
    silent = header(from_="montague.example", to="capulet.example")
    (_, element) = receiving.feed(silent + octets)
    assert element.qualified_name == "jabber:server:dialback verify"
    assert list(element.attributes) == ["id"]


def test_what_a_stanza_borrows_from_the_header_goes_along(receiving):
    receiving.feed(HEADER)
    (message,) = receiving.feed(b"<message><db:result/><body>db:</body></message>")
    assert message.children == ("jabber:server:dialback result", "jabber:client body")
    assert Stanza.from_bytes(message.to_bytes()).children == message.children
    (other,) = receiving.feed(b"<message xmlns:db='urn:example'><db:x/></message>")
    assert Stanza.from_bytes(other.to_bytes()).children == ("urn:example x",)


def test_streams_of_servers_share_their_parsers(monkeypatch):
    idle = []
    monkeypatch.setattr(reader, "_idle_for_servers", idle)
    streams = [Listener(ReceivingStream(10_000)) for _ in range(2)]
    for stream in streams:
        stream.feed(HEADER + MESSAGE)
    (only,) = idle
    streams[0].feed(b"<message><body>Har")
    assert idle == []
    streams[1].feed(MESSAGE)
    streams[0].feed(b"k!</body></message>")
    assert len(idle) == 2
    assert idle[1] is only
    assert streams[0].events[-1].body == "Hark!"
