"""Who answers a request (RFC 6121, section 8.5), and that answers are never answered."""

import pytest

from stonechat import hookimpl
from stonechat.auth import AuthUnavailable
from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.plugin import HANDLED
from stonechat.stanza import Element, Iq
from stonechat.testing import error_of

QUERY = "urn:example:query"


SESSIONS = {
    "no account": {},
    "none": {},
    "connected": {"balcony": None},
    "negative": {"balcony": -1},
    "one": {"balcony": 0},
    "several": {"balcony": 5, "chamber": 5, "garden": 1, "tomb": -1, "church": None},
}


@pytest.fixture
def capulet(server):
    return server.host("capulet.example")


@pytest.fixture
def romeo(server, capulet):
    montague = server.host("montague.example")
    return montague.connect("romeo@montague.example/orchard")


def connect(host, sessions):
    clients = {}
    for resource, priority in sessions.items():
        client = clients[resource] = host.connect(f"juliet@capulet.example/{resource}")
        if priority is not None:
            client.available(priority)
    for client in clients.values():
        client.received()
    return clients


class Answering:
    """Answers for the host and for its accounts."""

    def __init__(self, host, options):
        self.asked = []

    @hookimpl
    def stonechat_iq_handlers(self):
        return {("get", QUERY): self.for_host}

    @hookimpl
    def stonechat_account_iq_handlers(self):
        return {("get", QUERY): self.for_account}

    def for_host(self, iq):
        return Element(QUERY, "query", {"by": "host"})

    def for_account(self, iq):
        self.asked.append(iq)
        return Element(QUERY, "query", {"by": "account"})


@pytest.fixture
def answering(capulet):
    return capulet.enable("answering", plugin_class=Answering)


def ask(client, to, namespace=QUERY):
    return client.request("get", Element(namespace, "query"), to)


@pytest.mark.parametrize("state", ["none", "connected", "negative", "one", "several"])
def test_the_server_answers_requests_to_an_account_and_shows_them_to_no_session(
    capulet, answering, romeo, state
):
    capulet.create_account("juliet")
    clients = connect(capulet, SESSIONS[state])
    answer = ask(romeo, "juliet@capulet.example")
    assert answer.payload.get("by") == "account"
    assert answer.from_ == JID.parse("juliet@capulet.example")
    assert (
        error_of(ask(romeo, "juliet@capulet.example", "urn:x")).condition == "service-unavailable"
    )
    assert all(client.received() == [] for client in clients.values())


def test_a_request_to_an_account_that_does_not_exist_is_refused_like_an_unknown_one(
    answering, romeo
):
    answer = ask(romeo, "rosaline@capulet.example")
    assert error_of(answer).condition == "service-unavailable"
    assert answering.asked == []


@pytest.mark.parametrize("state", ["connected", "negative", "one", "several"])
def test_a_request_to_a_session_is_answered_by_it(capulet, answering, romeo, state):
    balcony = connect(capulet, SESSIONS[state])["balcony"]
    romeo.send(Iq(Element(QUERY, "query"), to=balcony.jid, type="get", id="q1"))
    request = balcony.receive_iq()
    assert (request.from_, request.id) == (romeo.jid, "q1")
    balcony.send(request.result(Element(QUERY, "query", {"by": "balcony"})))
    assert romeo.answer_to("q1").payload.get("by") == "balcony"
    assert answering.asked == []


@pytest.mark.parametrize("state", ["no account", "none", "one", "several"])
def test_a_request_to_a_session_that_is_not_there_is_refused(capulet, answering, romeo, state):
    connect(capulet, SESSIONS[state])
    answer = ask(romeo, "juliet@capulet.example/orchard")
    assert error_of(answer).condition == "service-unavailable"
    assert answering.asked == []


def test_a_request_without_a_recipient_is_answered_for_the_account(capulet, answering):
    juliet = capulet.connect("juliet@capulet.example/balcony")
    answer = ask(juliet, None)
    assert answer.payload.get("by") == "account"
    assert answer.attributes.get("from", juliet.bare.text) == juliet.bare.text
    assert answering.asked[0].from_ == juliet.jid
    assert error_of(ask(juliet, None, "urn:x")).condition == "service-unavailable"


def test_a_request_to_the_host_is_answered_by_it(capulet, answering, romeo):
    assert ask(romeo, "capulet.example").payload.get("by") == "host"
    assert error_of(ask(romeo, "capulet.example", "urn:x")).condition == "service-unavailable"


class TakingOver:
    """Takes requests over that the server would answer, and answers them when it is told to."""

    def __init__(self, host, options):
        self.host = host
        self.taken = []
        self.fault = None

    @hookimpl
    def stonechat_iq_to_server(self, iq):
        if self.fault is not None:
            raise self.fault
        self.taken.append(iq)
        return HANDLED


@pytest.fixture
def taking_over(capulet, answering):
    capulet.enable("taking-over", plugin_class=TakingOver)
    return capulet.plugin("taking-over")


@pytest.mark.parametrize("to", [None, "capulet.example", "juliet@capulet.example"])
def test_a_plugin_may_take_over_what_the_server_answers(capulet, answering, taking_over, to):
    juliet = capulet.connect("juliet@capulet.example/balcony")
    juliet.send(Iq(Element(QUERY, "query"), type="get", id="1", to=to and JID.parse(to)))
    assert juliet.received() == []
    (iq,) = taking_over.taken
    assert (iq.from_, iq.to and iq.to.text) == (juliet.jid, to)
    taking_over.host.route(iq.result(Element(QUERY, "taken")))
    assert juliet.answer_to("1").payload == Element(QUERY, "taken")


def test_so_it_may_refuse_it(capulet, taking_over):
    juliet = capulet.connect("juliet@capulet.example/balcony")
    taking_over.fault = StanzaError("policy-violation")
    answer = juliet.request("get", Element(QUERY, "query"))
    assert error_of(answer).condition == "policy-violation"


@pytest.mark.parametrize(
    ("to", "type"),
    [
        ("nobody@capulet.example", "get"),
        ("capulet.example/x", "get"),
        ("juliet@capulet.example/balcony", "get"),
        ("juliet@capulet.example", "result"),
        ("capulet.example", "result"),
    ],
)
def test_what_the_server_does_not_answer_is_not_shown_to_it(capulet, romeo, taking_over, to, type):
    capulet.connect("juliet@capulet.example/balcony")
    romeo.send(Iq(Element(QUERY, "query"), type=type, id="1", to=JID.parse(to)))
    assert taking_over.taken == []


def test_a_host_has_no_resources_to_ask(capulet, answering, romeo):
    assert error_of(ask(romeo, "capulet.example/tomb")).condition == "service-unavailable"


def test_a_session_request_of_old_clients_is_answered(capulet):
    juliet = capulet.connect("juliet@capulet.example/balcony")
    session = Element("urn:ietf:params:xml:ns:xmpp-session", "session")
    assert juliet.set(session).payload is None


@pytest.mark.parametrize(
    "iq",
    [
        "<iq type='get' to='%s'><query xmlns='urn:x'/></iq>",
        "<iq type='get' id='q1' to='%s'/>",
        "<iq type='set' id='q1' to='%s'><a xmlns='urn:x'/><b xmlns='urn:x'/></iq>",
        "<iq type='ask' id='q1' to='%s'><query xmlns='urn:x'/></iq>",
        "<iq id='q1' to='%s'><query xmlns='urn:x'/></iq>",
    ],
    ids=["no id", "no payload", "two payloads", "unknown type", "no type"],
)
@pytest.mark.parametrize(
    "to", ["juliet@capulet.example/balcony", "juliet@capulet.example", "capulet.example"]
)
def test_an_iq_that_breaks_the_rules_is_refused_and_goes_nowhere(capulet, romeo, iq, to):
    clients = connect(capulet, SESSIONS["one"])
    romeo.send(iq % to)
    assert error_of(romeo.receive_iq()).condition == "bad-request"
    assert clients["balcony"].received() == []


# Errors and results are never answered (RFC 6120, 8.3.1)


@pytest.mark.parametrize("type_", ["result", "error"])
@pytest.mark.parametrize(
    "to",
    [
        "",
        "to='capulet.example'",
        "to='capulet.example/tomb'",
        "to='juliet@capulet.example'",
        "to='juliet@capulet.example/gone'",
        "to='rosaline@capulet.example'",
        "to='verona.example'",
        "to='@@'",
    ],
)
def test_an_answer_that_nobody_waits_for_is_dropped(capulet, answering, romeo, type_, to):
    clients = connect(capulet, SESSIONS["one"])
    romeo.send(f"<iq type='{type_}' id='q1' {to}/>")
    romeo.send(f"<iq type='{type_}' {to}/>")
    assert romeo.received() == []
    assert clients["balcony"].received() == []


@pytest.mark.parametrize("kind", ["message", "presence"])
@pytest.mark.parametrize(
    "to", ["capulet.example", "rosaline@capulet.example", "verona.example", "@@"]
)
def test_an_error_is_not_answered_with_an_error(capulet, romeo, kind, to):
    romeo.send(f"<{kind} type='error' to='{to}'><error type='cancel'/></{kind}>")
    assert romeo.received() == []


@pytest.mark.parametrize(
    "request_",
    [
        "<iq type='get' id='away' to='{to}'><query xmlns='urn:example:query'/></iq>",
        "<message type='chat' id='away' to='{to}'><body>Hist!</body></message>",
    ],
)
def test_while_nobody_knows_whether_an_account_exists_the_sender_may_try_again(
    server, capulet, romeo, monkeypatch, request_
):
    def away(localpart):
        raise AuthUnavailable("the directory does not answer")

    monkeypatch.setattr(capulet.kernel.accounts, "exists", away)
    romeo.send(request_.format(to="nurse@capulet.example"))
    error = error_of(romeo.receive())
    assert (error.condition, error.type) == ("internal-server-error", "wait")
    # The stream is none the worse for it.
    monkeypatch.undo()
    romeo.send(request_.format(to="nurse@capulet.example"))
    assert error_of(romeo.receive()).condition == "service-unavailable"


def test_nobody_is_told_that_news_of_an_absence_found_nobody(romeo):
    romeo.send("<presence type='unavailable' to='verona.example'/>")
    assert romeo.received() == []


def test_an_answer_to_us_counts_only_from_whom_was_asked(server, capulet, romeo):
    juliet = capulet.connect("juliet@capulet.example/balcony")
    answers = []

    class Asking:
        def __init__(self, host, options):
            self.host = host

        def start(self):
            self.host.spawn(self.ask)

        def ask(self):
            iq = Iq(Element(QUERY, "query"), type="get", to=juliet.jid, from_=self.host.jid)
            answers.append(self.host.ask(iq))

    capulet.enable("asking", plugin_class=Asking)
    request = juliet.receive_iq()
    romeo.send(f"<iq type='result' id='{request.id}' to='capulet.example'/>")
    assert answers == []
    juliet.send(request.result(Element(QUERY, "query", {"by": "juliet"})))
    assert [answer.payload.get("by") for answer in answers] == ["juliet"]
