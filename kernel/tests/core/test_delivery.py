"""Where stanzas go: RFC 6121, section 8, and RFC 6120, sections 8 and 10, against the kernel."""

import pytest

from stonechat import hookimpl
from stonechat.jid import JID
from stonechat.stanza import Message, Presence
from stonechat.testing import error_of

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
