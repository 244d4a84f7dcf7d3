"""A client's stream until it is bound: the table of transitions, and all that is not in it."""

import pytest

from stonechat.errors import StreamError, XMLError
from stonechat.protocol.c2s import (
    ELEMENTS_BEFORE_AUTH,
    BindRequest,
    C2SStream,
    OtherElement,
    SaslInput,
    StartTls,
    State,
    StreamClosed,
    StreamOpened,
    UnauthenticatedIq,
    is_session_request,
)
from stonechat.stanza import Iq, Message, Presence
from stonechat.xml import Element

HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='capulet.example'"
    b" from='juliet@capulet.example' xmlns:stream='http://etherx.jabber.org/streams'"
    b" version='1.0' xml:lang='en'>"
)
STARTTLS = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
SASL = b"xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
AUTH = b"<auth %b mechanism='PLAIN'>AGp1bGlldABob25leQ==</auth>" % SASL
REGISTER = b"<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>"
BIND = (
    b"<iq type='set' id='2'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
    b"<resource>balcony</resource></bind></iq>"
)
COMPRESS = (
    b"<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>"
)
PRESENCE = b"<presence/>"
MESSAGE = b"<message to='romeo@montague.example'><body>Hail</body></message>"
END = b"</stream:stream>"

OPENED = StreamOpened("capulet.example", "juliet@capulet.example", "en")


class Negotiation:
    """Reads octets, keeps the events, and does at an event what it is told."""

    def __init__(self):
        self.stream = C2SStream(10_000, 100_000)
        self.events = []
        self.then = {}  # event type -> what its handler does
        self.rest = []

    def receive(self, *pieces):
        for piece in pieces:
            self.rest += self.stream.receive(piece, self._handle)
        return self.events[-1] if self.events else None

    def _handle(self, event):
        self.events.append(event)
        self.then.get(type(event), lambda: None)()

    @property
    def state(self):
        return self.stream.state

    def fails(self, *pieces):
        """The condition that the stream ends with at these octets."""
        with pytest.raises((StreamError, XMLError)) as caught:
            self.receive(*pieces)
        return caught.value.condition


def at(state):
    """A stream in a state, by the way that a client goes."""
    negotiation = Negotiation()
    stream = negotiation.stream
    if state is not State.HEADER:
        negotiation.receive(HEADER)
    if state is State.ENCRYPTING:
        negotiation.receive(STARTTLS)
    elif state in (State.BINDING, State.BOUND):
        negotiation.then[SaslInput] = stream.authenticated
        negotiation.receive(AUTH)
        negotiation.receive(HEADER)
    if state is State.BOUND:
        negotiation.receive(BIND)
        stream.bound()
    elif state is State.CLOSED:
        stream.close()
    assert stream.state is state
    negotiation.events.clear()
    return negotiation


# The rows of the table


def test_a_header_opens_the_stream():
    negotiation = at(State.HEADER)
    assert negotiation.receive(HEADER) == OPENED
    assert negotiation.state is State.NEGOTIATING


def test_a_header_may_leave_everything_out_that_it_may():
    negotiation = at(State.HEADER)
    header = (
        b"<stream:stream xmlns='jabber:client' version='1.0'"
        b" xmlns:stream='http://etherx.jabber.org/streams'>"
    )
    assert negotiation.receive(header) == StreamOpened("", "", "")


def test_starttls_is_followed_by_nothing_until_tls_is_in_force():
    negotiation = at(State.NEGOTIATING)
    assert negotiation.receive(STARTTLS) == StartTls()
    assert negotiation.state is State.ENCRYPTING
    negotiation.stream.encrypted()
    assert negotiation.state is State.HEADER
    assert negotiation.receive(HEADER) == OPENED
    assert negotiation.state is State.NEGOTIATING


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (AUTH, SaslInput("auth", "PLAIN", "AGp1bGlldABob25leQ==")),
        (b"<auth %b mechanism='EXTERNAL'>=</auth>" % SASL, SaslInput("auth", "EXTERNAL", "=")),
        (b"<auth %b/>" % SASL, SaslInput("auth", "", "")),
        (b"<response %b>Yj1j</response>" % SASL, SaslInput("response", "", "Yj1j")),
        (b"<response %b/>" % SASL, SaslInput("response", "", "")),
        (b"<abort %b/>" % SASL, SaslInput("abort", "", "")),
    ],
)
def test_sasl_elements_are_handed_on(octets, expected):
    negotiation = at(State.NEGOTIATING)
    assert negotiation.receive(octets) == expected
    assert negotiation.state is State.NEGOTIATING
    assert not negotiation.stream.is_authenticated


def test_a_request_before_authentication_is_handed_on():
    negotiation = at(State.NEGOTIATING)
    event = negotiation.receive(REGISTER)
    assert type(event) is UnauthenticatedIq
    assert event.iq.namespace == "jabber:iq:register"
    assert negotiation.state is State.NEGOTIATING


def test_authentication_is_followed_by_a_header_and_that_by_the_binding():
    negotiation = at(State.NEGOTIATING)
    negotiation.then[SaslInput] = negotiation.stream.authenticated
    negotiation.receive(AUTH)
    assert negotiation.state is State.HEADER
    assert negotiation.stream.is_authenticated
    assert negotiation.receive(HEADER) == OPENED
    assert negotiation.state is State.BINDING


def test_a_stream_may_go_on_as_it_is_after_authentication():
    negotiation = at(State.NEGOTIATING)
    negotiation.then[OtherElement] = negotiation.stream.admitted
    # With more behind it than a stranger may send, in the same octets and after them.
    negotiation.receive(b"<authenticate xmlns='urn:xmpp:sasl:2'/>" + BIND)
    assert [type(event) for event in negotiation.events] == [OtherElement, BindRequest]
    assert negotiation.stream.is_authenticated
    assert negotiation.state is State.BINDING
    big = b"<iq type='set' id='3'><a>" + b"<b/>" * ELEMENTS_BEFORE_AUTH + b"a" * 10_000
    assert negotiation.fails(big + b"</a></iq>") == "not-authorized"


UNKNOWN = b"<r xmlns='urn:xmpp:sm:3'/>"
UNKNOWN_TO_STRANGERS = [
    UNKNOWN,
    b"<auth xmlns='urn:x'/>",
    b"<starttls xmlns='urn:x'/>",
    b"<success %b/>" % SASL,
    b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    b"<message xmlns='jabber:server'/>",
    b"<body>Hail</body>",
    b"<stream:features/>",
    HEADER.partition(b"?>")[2] + b"<a/>" + END,
]


@pytest.mark.parametrize(
    ("state", "octets"),
    [
        *((State.NEGOTIATING, octets) for octets in UNKNOWN_TO_STRANGERS),
        *((State.BINDING, octets) for octets in (UNKNOWN, AUTH, STARTTLS)),
    ],
)
def test_any_other_element_is_handed_on_for_whoever_may_want_it(state, octets):
    negotiation = at(state)
    event = negotiation.receive(*(octets[i : i + 1] for i in range(len(octets))))
    assert type(event) is OtherElement
    assert octets.startswith((f"<{event.element.name}".encode(), b"<stream:"))
    assert negotiation.state is state


@pytest.mark.parametrize(
    ("payload", "resource"),
    [
        (b"<resource>balcony</resource>", "balcony"),
        (b"<resource> balcony\n</resource>", "balcony"),
        (b"<resource/>", ""),
        (b"", ""),
        (b"<resource xmlns='urn:x'>balcony</resource>", ""),
    ],
)
def test_a_resource_is_asked_for(payload, resource):
    negotiation = at(State.BINDING)
    event = negotiation.receive(
        b"<iq type='set' id='2'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>%b</bind></iq>"
        % payload
    )
    assert (type(event), event.iq.id, event.resource) == (BindRequest, "2", resource)
    assert negotiation.state is State.BINDING


def test_a_refused_resource_may_be_followed_by_another():
    negotiation = at(State.BINDING)
    negotiation.receive(BIND)
    assert type(negotiation.receive(BIND)) is BindRequest


def test_what_comes_behind_the_binding_belongs_to_the_session():
    negotiation = at(State.BINDING)
    negotiation.then[BindRequest] = negotiation.stream.bound
    negotiation.receive(BIND + PRESENCE + MESSAGE)
    assert negotiation.state is State.BOUND
    assert [type(event) for event in negotiation.events] == [BindRequest]
    assert [type(event) for event in negotiation.rest] == [Presence, Message]


@pytest.mark.parametrize("state", [State.NEGOTIATING, State.BINDING])
def test_the_end_of_the_stream_closes_it(state):
    negotiation = at(state)
    assert negotiation.receive(END) == StreamClosed()
    assert negotiation.state is State.CLOSED


def test_a_stream_may_be_over_with_its_header():
    negotiation = at(State.HEADER)
    negotiation.receive(HEADER + END)
    assert negotiation.events == [OPENED, StreamClosed()]
    negotiation = at(State.HEADER)
    negotiation.receive(HEADER[:-1] + b"/>")
    assert negotiation.events == [OPENED, StreamClosed()]


def test_white_space_between_elements_is_nothing():
    for state in (State.HEADER, State.NEGOTIATING, State.BINDING):
        negotiation = at(state)
        assert negotiation.receive(b" \r\n\t") is None
        assert negotiation.state is state


# What is not in the table

BAD_CONDITIONS = {
    State.NEGOTIATING: [
        (PRESENCE, "not-authorized"),
        (MESSAGE, "not-authorized"),
        (b"<iq type='result' id='1'/>", "not-authorized"),
        (b"<iq type='error' id='1'/>", "not-authorized"),
        (b"<iq/>", "not-authorized"),
        (b"Hail<presence/>", "bad-format"),
        (b"<a></b>", "not-well-formed"),
        (b"<!-- hello -->", "restricted-xml"),
        (b"<iq>" + b"<a/>" * ELEMENTS_BEFORE_AUTH + b"</iq>", "policy-violation"),
        (b"<auth %b>" % SASL + b"a" * 10_000 + b"</auth>", "policy-violation"),
    ],
    State.BINDING: [
        (PRESENCE, "not-authorized"),
        (MESSAGE, "not-authorized"),
        (REGISTER, "not-authorized"),
        (BIND.replace(b"'set'", b"'get'"), "not-authorized"),
        (BIND.replace(b"</bind>", b"</bind><a/>"), "not-authorized"),
        (b"<iq type='result' id='1'/>", "not-authorized"),
        (b"<a></b>", "not-well-formed"),
        (b"<iq>" + b"a" * 100_000 + b"</iq>", "policy-violation"),
    ],
    State.HEADER: [
        (b"Hail", "not-well-formed"),
        (b"<presence/>", "bad-format"),
        (STARTTLS, "bad-format"),
        (HEADER.replace(b"jabber:client", b"jabber:server"), "invalid-namespace"),
        (HEADER.replace(b"etherx", b"ether"), "invalid-namespace"),
        (HEADER.replace(b"version='1.0' ", b""), "unsupported-version"),
        (HEADER.replace(b"to='", b"to='" + b"a" * 10_000), "policy-violation"),
    ],
    State.ENCRYPTING: [
        (HEADER, "policy-violation"),
        (AUTH, "policy-violation"),
        (b" ", "policy-violation"),
        (END, "policy-violation"),
    ],
}


@pytest.mark.parametrize(
    ("state", "octets", "condition"),
    [
        (state, octets, condition)
        for state, rows in BAD_CONDITIONS.items()
        for octets, condition in rows
    ],
)
def test_what_is_not_in_the_table_ends_the_stream(state, octets, condition):
    assert at(state).fails(octets) == condition
    # It does not matter how it is cut.
    assert at(state).fails(*(octets[i : i + 1] for i in range(len(octets)))) == condition


@pytest.mark.parametrize("octets", [b"Hail", b"<presence"])
def test_half_an_element_is_waited_for(octets):
    negotiation = at(State.NEGOTIATING)
    assert negotiation.receive(octets) is None
    assert negotiation.state is State.NEGOTIATING


def test_what_came_before_the_fault_is_handled_first():
    negotiation = at(State.NEGOTIATING)
    assert negotiation.fails(REGISTER + b"<a></b>") == "not-well-formed"
    assert [type(event) for event in negotiation.events] == [UnauthenticatedIq]


@pytest.mark.parametrize(
    "behind", [HEADER, AUTH, PRESENCE, b"<", b"\x16\x03\x01", b"a", END, b"<a></b>"]
)
def test_nothing_in_the_clear_may_follow_starttls(behind):
    # Robustness rule 5.
    negotiation = at(State.NEGOTIATING)
    condition = negotiation.fails(STARTTLS + behind)
    assert condition in ("policy-violation", "not-well-formed")
    assert not any(isinstance(event, SaslInput) for event in negotiation.events)
    negotiation = at(State.NEGOTIATING)
    negotiation.receive(STARTTLS)
    assert negotiation.fails(behind) == "policy-violation"


def test_a_line_end_may_follow_starttls():
    assert at(State.NEGOTIATING).receive(STARTTLS + b"\r\n") == StartTls()


@pytest.mark.parametrize("behind", [PRESENCE, BIND, AUTH, b"<", b"a", HEADER])
def test_nothing_may_follow_a_login_before_its_answer(behind):
    negotiation = at(State.NEGOTIATING)
    negotiation.then[SaslInput] = negotiation.stream.authenticated
    condition = negotiation.fails(AUTH + behind)
    assert condition in ("policy-violation", "not-well-formed")
    assert [type(event) for event in negotiation.events] == [SaslInput]


def test_a_fault_behind_a_login_ends_the_stream():
    negotiation = at(State.NEGOTIATING)
    negotiation.then[SaslInput] = negotiation.stream.authenticated
    assert negotiation.fails(AUTH + b"<a></b>") == "policy-violation"
    assert not negotiation.stream.is_authenticated


def test_a_codec_is_followed_by_a_header_and_that_by_the_binding():
    negotiation = at(State.BINDING)
    negotiation.then[OtherElement] = negotiation.stream.transformed
    negotiation.receive(COMPRESS + b"\r\n")
    assert negotiation.state is State.HEADER
    assert negotiation.receive(HEADER) == OPENED
    assert negotiation.state is State.BINDING
    assert isinstance(negotiation.receive(BIND), BindRequest)


@pytest.mark.parametrize("behind", [HEADER, BIND, b"<", b"a", END, b"<a></b>"])
def test_nothing_may_follow_the_request_for_a_codec_before_its_answer(behind):
    negotiation = at(State.BINDING)
    negotiation.then[OtherElement] = negotiation.stream.transformed
    assert negotiation.fails(COMPRESS + behind) == "policy-violation"
    assert [type(event) for event in negotiation.events] == [OtherElement]
    assert negotiation.state is State.BINDING


def test_a_fault_behind_the_binding_ends_the_stream():
    negotiation = at(State.BINDING)
    negotiation.then[BindRequest] = negotiation.stream.bound
    assert negotiation.fails(BIND + b"<a></b>") == "not-well-formed"
    negotiation = at(State.BINDING)
    negotiation.then[BindRequest] = negotiation.stream.bound
    assert negotiation.fails(BIND + PRESENCE + b"<a></b>") == "not-well-formed"


def test_tls_makes_everything_anew():
    negotiation = at(State.NEGOTIATING)
    negotiation.receive(STARTTLS)
    negotiation.stream.encrypted()
    assert negotiation.fails(AUTH) == "bad-format"


def test_a_stream_that_we_closed_reads_no_more():
    for behind in (PRESENCE, AUTH, END, b"<a></b>"):
        negotiation = at(State.CLOSED)
        assert negotiation.receive(behind) is None
        assert negotiation.rest == []


def test_a_handler_may_close_the_stream_in_the_middle():
    negotiation = at(State.NEGOTIATING)
    negotiation.then[UnauthenticatedIq] = negotiation.stream.close
    negotiation.receive(REGISTER + REGISTER)
    assert len(negotiation.events) == 1
    negotiation = at(State.NEGOTIATING)
    negotiation.then[UnauthenticatedIq] = negotiation.stream.close
    negotiation.receive(REGISTER + b"<a></b>")
    assert negotiation.state is State.CLOSED


def test_what_a_handler_raises_comes_out():
    def refuse():
        raise StreamError("not-authorized", "Too many failed logins.")

    negotiation = at(State.NEGOTIATING)
    negotiation.then[SaslInput] = refuse
    assert negotiation.fails(AUTH + PRESENCE) == "not-authorized"


def test_limits_grow_with_the_login():
    small = b"<iq type='get' id='1'>" + b"<a/>" * ELEMENTS_BEFORE_AUTH + b"</iq>"
    assert at(State.NEGOTIATING).fails(small) == "policy-violation"
    negotiation = at(State.BINDING)
    negotiation.then[BindRequest] = negotiation.stream.bound
    negotiation.receive(BIND + small + b"<message>" + b"a" * 20_000 + b"</message>")
    assert [type(event) for event in negotiation.rest] == [Iq, Message]


# However it is cut

PHASES = (HEADER + b"\n" + REGISTER + STARTTLS, HEADER + AUTH, HEADER + BIND)


def whole_way(cut):
    """A client's way to its session, with each phase cut in pieces by `cut`."""
    negotiation = Negotiation()
    stream = negotiation.stream
    negotiation.then = {SaslInput: stream.authenticated, BindRequest: stream.bound}
    for phase in PHASES:
        negotiation.receive(*cut(phase))
        if stream.state is State.ENCRYPTING:
            stream.encrypted()
    assert stream.state is State.BOUND
    return [
        (type(event), event.iq.to_bytes()) if hasattr(event, "iq") else event
        for event in negotiation.events
    ]


WHOLE = whole_way(lambda phase: [phase])


def test_the_whole_way():
    assert whole_way(lambda phase: [phase]) == [
        OPENED,
        (UnauthenticatedIq, REGISTER),
        StartTls(),
        OPENED,
        SaslInput("auth", "PLAIN", "AGp1bGlldABob25leQ=="),
        OPENED,
        (BindRequest, BIND),
    ]


def test_it_may_arrive_one_octet_at_a_time():
    assert whole_way(lambda phase: [phase[i : i + 1] for i in range(len(phase))]) == WHOLE


def test_it_may_be_cut_in_two_anywhere():
    for at_ in range(1, max(map(len, PHASES))):
        assert whole_way(lambda phase, at_=at_: [phase[:at_], phase[at_:]]) == WHOLE


# After the binding


@pytest.mark.parametrize(
    ("iq", "is_one"),
    [
        (Iq(Element("urn:ietf:params:xml:ns:xmpp-session", "session"), type="set"), True),
        (Iq(Element("urn:ietf:params:xml:ns:xmpp-session", "session"), type="get"), False),
        (Iq(Element("urn:ietf:params:xml:ns:xmpp-session", "other"), type="set"), False),
        (Iq(Element("urn:x", "session"), type="set"), False),
        (Iq(type="set"), False),
    ],
)
def test_a_session_in_the_old_way_is_recognised(iq, is_one):
    assert is_session_request(iq) is is_one
