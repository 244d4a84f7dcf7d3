"""Where stanzas go: RFC 6121, section 8, and RFC 6120, sections 8 and 10, against the kernel."""

import pytest

from stonechat import hookimpl
from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.stanza import Element, Iq, Message, Presence
from stonechat.testing.client import error_of

# RFC 6121, table 1. Where it lets the server choose, this is the choice.
#   D: to the session that is addressed, or to the only one    M: to the most available ones
#   A: to all whose priority is not negative                   O: kept for an offline user
#   E: service-unavailable to the sender                       S: silently ignored
RULES = """
    normal     no account  bare      E
    normal     no account  full      E
    normal     none        bare      O
    normal     none        no-match  E
    normal     connected   bare      O
    normal     connected   match     D
    normal     connected   no-match  E
    normal     negative    bare      O
    normal     negative    match     D
    normal     negative    no-match  E
    normal     one         bare      D
    normal     one         match     D
    normal     one         no-match  E
    normal     several     bare      M
    normal     several     match     D
    normal     several     no-match  E

    chat       no account  bare      E
    chat       no account  full      E
    chat       none        bare      O
    chat       none        no-match  O
    chat       connected   bare      O
    chat       connected   match     D
    chat       connected   no-match  O
    chat       negative    bare      O
    chat       negative    match     D
    chat       negative    no-match  O
    chat       one         bare      D
    chat       one         match     D
    chat       one         no-match  D
    chat       several     bare      M
    chat       several     match     D
    chat       several     no-match  M

    groupchat  no account  bare      E
    groupchat  no account  full      E
    groupchat  none        bare      E
    groupchat  none        no-match  E
    groupchat  connected   bare      E
    groupchat  connected   match     D
    groupchat  connected   no-match  E
    groupchat  negative    bare      E
    groupchat  negative    match     D
    groupchat  negative    no-match  E
    groupchat  one         bare      E
    groupchat  one         match     D
    groupchat  one         no-match  E
    groupchat  several     bare      E
    groupchat  several     match     D
    groupchat  several     no-match  E

    headline   no account  bare      S
    headline   no account  full      S
    headline   none        bare      S
    headline   none        no-match  S
    headline   connected   bare      S
    headline   connected   match     D
    headline   connected   no-match  S
    headline   negative    bare      S
    headline   negative    match     D
    headline   negative    no-match  S
    headline   one         bare      D
    headline   one         match     D
    headline   one         no-match  S
    headline   several     bare      A
    headline   several     match     D
    headline   several     no-match  S

    error      no account  bare      S
    error      no account  full      S
    error      none        bare      S
    error      none        no-match  S
    error      connected   bare      S
    error      connected   match     D
    error      connected   no-match  S
    error      negative    bare      S
    error      negative    match     D
    error      negative    no-match  S
    error      one         bare      S
    error      one         match     D
    error      one         no-match  S
    error      several     bare      S
    error      several     match     D
    error      several     no-match  S
"""

# What Juliet is connected with: resource -> priority, None for no presence.
SESSIONS = {
    "no account": {},
    "none": {},
    "connected": {"balcony": None},
    "negative": {"balcony": -1},
    "one": {"balcony": 0},
    "several": {"balcony": 5, "chamber": 5, "garden": 1, "tomb": -1, "church": None},
}
MOST_AVAILABLE = {"balcony", "chamber"}
NOT_NEGATIVE = {"balcony", "chamber", "garden"}
RESOURCES = {"bare": "", "full": "balcony", "match": "balcony", "no-match": "orchard"}


def rules():
    lines = (line for line in RULES.split("\n") if line.strip())
    return [[part.strip() for part in line.split("  ") if part] for line in lines]


class Spool:
    """Takes every message that found no session."""

    def __init__(self, host, options):
        self.kept = []

    @hookimpl
    def stonechat_message_undelivered(self, message):
        self.kept.append(message.body)
        return True


@pytest.fixture
def capulet(server):
    return server.host("capulet.example", plugin_classes={"spool": Spool})


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


@pytest.mark.parametrize(("type_", "state", "address", "outcome"), rules())
def test_a_message_goes_where_table_1_of_rfc_6121_says(
    capulet, romeo, type_, state, address, outcome
):
    if state != "no account":
        capulet.create_account("juliet")
    clients = connect(capulet, SESSIONS[state])
    to = JID.make("juliet", "capulet.example", RESOURCES[address])
    romeo.message(to, "Thus with a kiss", type=type_)
    reached = {resource for resource, client in clients.items() if client.received()}
    wanted = {"D": {"balcony"}, "M": MOST_AVAILABLE, "A": NOT_NEGATIVE}.get(outcome, set())
    assert reached == wanted
    assert capulet.plugin("spool").kept == (["Thus with a kiss"] if outcome == "O" else [])
    answers = romeo.received()
    if outcome == "E":
        (answer,) = answers
        assert isinstance(answer, Message)
        assert error_of(answer).condition == "service-unavailable"
        assert answer.from_ == to
    else:
        assert answers == []


@pytest.mark.parametrize("type_", ["", "romance"])
def test_a_message_without_a_type_that_we_know_is_normal(capulet, romeo, type_):
    capulet.create_account("juliet")
    romeo.message("juliet@capulet.example", "Hist!", type=type_)
    romeo.message("juliet@capulet.example/gone", "Hist!", type=type_)
    assert capulet.plugin("spool").kept == ["Hist!"]
    (answer,) = romeo.received()
    assert error_of(answer).condition == "service-unavailable"


def test_without_a_plugin_that_keeps_messages_the_sender_hears_of_it(server):
    host = server.host("capulet.example")
    host.create_account("juliet")
    romeo = host.connect("romeo@capulet.example/orchard")
    romeo.message("juliet@capulet.example", "Hist!")
    assert error_of(romeo.receive_message()).condition == "service-unavailable"


def test_a_message_without_a_recipient_goes_to_the_account_of_its_sender(capulet):
    balcony, chamber = (capulet.connect(f"juliet@capulet.example/{r}") for r in ("a", "b"))
    chamber.available()
    balcony.send("<message id='m1'><body>Note to myself</body></message>")
    message = chamber.receive_message()
    assert message.to == balcony.bare
    assert message.from_ == balcony.jid


def test_a_message_keeps_what_its_sender_wrote_and_gets_the_true_sender(capulet, romeo):
    juliet = capulet.connect("juliet@capulet.example/balcony")
    juliet.available()
    romeo.send(
        "<message to='juliet@capulet.example' type='chat' id='a&amp;b' xml:lang='it'>"
        "<body>Ciao &lt;3</body><x xmlns='urn:x'><y a=\"'>\"/></x></message>"
    )
    message = juliet.receive_message()
    assert message.from_ == romeo.jid
    assert (message.id, message.lang, message.body) == ("a&b", "it", "Ciao <3")
    assert message.find("urn:x", "x").find("y").get("a") == "'>"


# Presence (8.5.1 to 8.5.3)


@pytest.mark.parametrize("type_", ["", "unavailable"])
@pytest.mark.parametrize(
    ("address", "state", "reached"),
    [
        ("bare", "no account", set()),
        ("bare", "none", set()),
        ("bare", "connected", set()),
        ("bare", "negative", {"balcony"}),
        ("bare", "one", {"balcony"}),
        ("bare", "several", {"balcony", "chamber", "garden", "tomb"}),
        ("match", "connected", {"balcony"}),
        ("match", "negative", {"balcony"}),
        ("match", "several", {"balcony"}),
        ("no-match", "none", set()),
        ("no-match", "several", set()),
        ("full", "no account", set()),
    ],
)
def test_presence_goes_to_every_available_session_or_the_one_that_is_addressed(
    capulet, romeo, type_, address, state, reached
):
    if state != "no account":
        capulet.create_account("juliet")
    clients = connect(capulet, SESSIONS[state])
    romeo.send(Presence(to=JID.make("juliet", "capulet.example", RESOURCES[address]), type=type_))
    got = {resource: client.received() for resource, client in clients.items()}
    assert {resource for resource, items in got.items() if items} == reached
    assert all(p.from_ == romeo.jid and p.type == type_ for items in got.values() for p in items)
    assert romeo.received() == []


@pytest.mark.parametrize("address", ["bare", "match"])
@pytest.mark.parametrize(
    "type_", ["subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe"]
)
def test_subscriptions_and_probes_that_no_plugin_handles_are_dropped(
    capulet, romeo, type_, address
):
    clients = connect(capulet, SESSIONS["one"])
    romeo.send(Presence(to=JID.make("juliet", "capulet.example", RESOURCES[address]), type=type_))
    assert clients["balcony"].received() == []
    assert romeo.received() == []


def test_an_error_for_presence_goes_to_a_full_jid_only(capulet, romeo):
    clients = connect(capulet, SESSIONS["one"])
    error = "<presence type='error' to='%s'><error type='cancel'/></presence>"
    romeo.send(error % "juliet@capulet.example")
    assert clients["balcony"].received() == []
    romeo.send(error % "juliet@capulet.example/balcony")
    assert clients["balcony"].receive_presence().type == "error"


@pytest.mark.parametrize("to", ["to='juliet@capulet.example'", ""])
def test_presence_of_an_unknown_type_is_refused(capulet, romeo, to):
    clients = connect(capulet, SESSIONS["one"])
    romeo.send(f"<presence type='romance' {to}/>")
    assert error_of(romeo.receive_presence()).condition == "bad-request"
    assert clients["balcony"].received() == []


@pytest.mark.parametrize("type_", ["subscribe", "probe", "unsubscribed"])
def test_presence_of_such_a_type_needs_a_recipient(capulet, type_):
    juliet = capulet.connect("juliet@capulet.example/balcony")
    juliet.send(f"<presence type='{type_}'/>")
    assert error_of(juliet.receive_presence()).condition == "bad-request"


@pytest.mark.parametrize("priority", ["128", "-129", "high", "", "1.5", "１"])
def test_a_priority_that_is_none_is_refused_and_the_session_stays_as_it_was(capulet, priority):
    juliet = capulet.connect("juliet@capulet.example/balcony")
    juliet.available(7)
    juliet.received()
    juliet.send(f"<presence><priority>{priority}</priority></presence>")
    assert error_of(juliet.receive_presence()).condition == "bad-request"
    (session,) = capulet.kernel.sessions("juliet")
    assert session.priority == 7


@pytest.mark.parametrize("priority", [127, -128])
def test_a_priority_may_be_as_large_as_an_octet(capulet, priority):
    juliet = capulet.connect("juliet@capulet.example/balcony")
    juliet.available(priority)
    (session,) = capulet.kernel.sessions("juliet")
    assert session.priority == priority


def test_who_became_unavailable_gets_no_more_messages_to_the_account(capulet, romeo):
    juliet = capulet.connect("juliet@capulet.example/balcony")
    juliet.available(5)
    juliet.unavailable()
    romeo.message("juliet@capulet.example", "Hist!")
    assert juliet.received() == []
    assert capulet.plugin("spool").kept == ["Hist!"]


# IQ (8.5.1, 8.5.2.1.3, 8.5.3; RFC 6120, 8.2.3 and 10.5)

QUERY = "urn:example:query"


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


# The host and other domains


def test_a_message_to_the_host_is_refused_where_no_plugin_takes_it(capulet, romeo):
    romeo.message("capulet.example", "Is anybody there?")
    romeo.message("capulet.example/tomb", "Is anybody there?")
    assert [error_of(m).condition for m in romeo.received()] == ["service-unavailable"] * 2


def test_presence_to_the_host_is_dropped_where_no_plugin_takes_it(capulet, romeo):
    romeo.send("<presence to='capulet.example'/>")
    romeo.send("<presence to='capulet.example' type='subscribe'/>")
    assert romeo.received() == []


def test_a_plugin_may_take_what_comes_to_the_host(server, capulet, romeo):
    taken = []

    class Announce:
        def __init__(self, host, options):
            pass

        @hookimpl
        def stonechat_stanza_to_host(self, stanza):
            taken.append(stanza.to.resource)
            return True

    capulet.enable("announce", plugin_class=Announce)
    romeo.message("capulet.example", "Hear ye")
    romeo.send("<presence to='capulet.example/all'/>")
    assert taken == ["", "all"]
    assert romeo.received() == []


@pytest.mark.parametrize(
    ("stanza", "condition"),
    [
        (
            "<message to='friar@verona.example'><body>Hist!</body></message>",
            "remote-server-not-found",
        ),
        (
            "<iq type='get' id='q1' to='verona.example'><x xmlns='u'/></iq>",
            "remote-server-not-found",
        ),
        ("<presence to='friar@verona.example' type='subscribe'/>", "remote-server-not-found"),
        ("<message to='@capulet.example'><body>Hist!</body></message>", "jid-malformed"),
        ("<iq type='get' id='q1' to='a b@capulet.example'><x xmlns='u'/></iq>", "jid-malformed"),
        ("<presence to='juliet@capulet.example/'/>", "jid-malformed"),
    ],
)
def test_what_cannot_be_sent_is_answered_with_the_reason(romeo, stanza, condition):
    romeo.send(stanza)
    (answer,) = romeo.received()
    assert error_of(answer).condition == condition
    assert f"'{answer.attributes['from']}'" in stanza


def test_an_answer_to_a_malformed_address_comes_from_that_address(romeo):
    romeo.send("<message to='@capulet.example' id='m1'><body>Hist!</body></message>")
    (answer,) = romeo.received()
    assert (answer.attributes["from"], answer.id) == ("@capulet.example", "m1")


class Mirrors:
    """Two domains, each of which sends on to the other what it gets."""

    def __init__(self, host, options):
        self.host = host
        self.passed = 0

    def start(self):
        self.host.register_route("here.example", self.to("there.example"))
        self.host.register_route("there.example", self.to("here.example"))

    def to(self, domain):
        def pass_on(stanza):
            self.passed += 1
            stanza.to = JID.parse(domain)
            self.host.route(stanza)

        return pass_on


@pytest.mark.parametrize("limit", [20, 3])
def test_a_stanza_that_runs_in_a_circle_is_stopped(server, limit):
    server.configure(limits={"max_hops": limit})
    server.expect_errors()
    host = server.host("capulet.example", plugin_classes={"mirrors": Mirrors})
    juliet = host.connect("juliet@capulet.example/balcony")
    juliet.message("here.example", "Echo")
    assert host.plugin("mirrors").passed == limit
    assert server.logged("a stanza runs in a circle")
    assert juliet.received() == []


class Wall:
    """A domain that refuses everything, errors too, and speaks for another such domain."""

    def __init__(self, host, options):
        self.host = host
        self.refused = []

    def start(self):
        self.host.register_route("wall.example", self.refuse)
        self.host.register_route("fence.example", self.refuse)

    def refuse(self, stanza):
        self.refused.append(stanza.attributes["to"])
        raise StanzaError("not-acceptable")


def test_two_that_refuse_everything_do_not_go_on_answering_each_other(capulet):
    wall = capulet.enable("wall", plugin_class=Wall)
    message = Message(to=JID.parse("wall.example"), from_=JID.parse("fence.example"))
    capulet.kernel.route(message)
    assert wall.refused == ["wall.example", "fence.example"]


# The sender (RFC 6120, 8.1.2.1)


@pytest.mark.parametrize(
    "from_",
    ["juliet@capulet.example/balcony", "juliet@capulet.example", "JULIET@Capulet.example/balcony"],
)
def test_a_client_may_write_its_own_address(capulet, romeo, from_):
    juliet = capulet.connect("juliet@capulet.example/balcony")
    romeo.available()
    juliet.send(
        f"<message from='{from_}' to='romeo@montague.example'><body>Ay me</body></message>"
    )
    assert romeo.receive_message().attributes["from"] == "juliet@capulet.example/balcony"


@pytest.mark.parametrize(
    "from_",
    [
        "romeo@montague.example",
        "juliet@capulet.example/chamber",
        "nurse@capulet.example/balcony",
        "capulet.example",
        "juliet@montague.example/balcony",
        "@@",
        "",
    ],
)
@pytest.mark.parametrize("kind", ["message", "presence", "iq"])
def test_a_client_that_writes_another_address_loses_its_stream(capulet, romeo, kind, from_):
    juliet = capulet.connect("juliet@capulet.example/balcony")
    romeo.available()
    romeo.received()
    juliet.send(
        f"<{kind} from='{from_}' to='romeo@montague.example/orchard' type='get' id='q1'>"
        f"<x xmlns='urn:x'/></{kind}><message to='romeo@montague.example'/>"
    )
    assert juliet.closed_with() == "invalid-from"
    assert romeo.received() == []
