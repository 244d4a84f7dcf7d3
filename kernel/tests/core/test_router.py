"""The router: local routes, then those of other nodes, then wildcards, then other servers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.cluster import Cluster, SingleNode
from stonechat.core.router import MAX_HOPS, Router
from stonechat.errors import JIDError, StanzaError
from stonechat.jid import JID
from stonechat.stanza import Iq, Message, Presence
from stonechat.testing.client import error_of
from stonechat.xml import Element

JULIET = JID.parse("juliet@capulet.example/balcony")
ROMEO = JID.parse("romeo@montague.example/orchard")


class Nodes(SingleNode):
    """Knows routes of other nodes, and keeps what it is told."""

    def __init__(self):
        self.routes = {}
        self.told = []
        self.forwarded = []

    def route_added(self, domain):
        self.told.append(("added", domain))

    def route_removed(self, domain):
        self.told.append(("removed", domain))

    def node_of_route(self, domain):
        return self.routes.get(domain)

    def forward(self, node, stanza):
        if node == "dead":
            raise StanzaError("remote-server-timeout")
        self.forwarded.append((node, stanza))


class Servers(list):
    """Takes what goes to other servers."""

    def route(self, stanza):
        self.append(stanza)


class Log(list):
    def error(self, event, **fields):
        self.append((event, fields))


@pytest.fixture
def nodes():
    return Nodes()


@pytest.fixture
def servers():
    return Servers()


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def router(nodes, servers, log):
    return Router(nodes, servers, log)


def refusing(error):
    def refuse(stanza):
        raise error

    return refuse


def hail(to=ROMEO, from_=JULIET, kind=Message, **head):
    return kind(to=to, from_=from_, **head)


# Where it goes


def test_a_domain_of_ours_is_answered_here(router, nodes, servers):
    here = []
    nodes.routes["montague.example"] = "other"
    router.add_route("montague.example", here.append, "host montague.example")
    message = hail()
    router.route(message)
    assert here == [message]
    assert nodes.forwarded == servers == []


def test_a_domain_of_another_node_is_answered_there(router, nodes, servers):
    nodes.routes["montague.example"] = "other"
    router.add_route("*.example", servers.append, "component")
    message = hail()
    router.route(message)
    assert nodes.forwarded == [("other", message)]
    assert servers == []


def test_a_node_that_cannot_be_reached_is_told_to_the_sender(router, nodes):
    said = []
    nodes.routes["montague.example"] = "dead"
    router.add_route("capulet.example", said.append, "host")
    router.route(hail())
    assert error_of(said[0]).condition == "remote-server-timeout"


def test_all_else_is_for_other_servers(router, servers):
    router.add_route("capulet.example", print, "host")
    message = hail()
    router.route(message)
    assert servers == [message]


@pytest.mark.parametrize(
    ("domain", "found"),
    [
        ("irc.example", "wild"),
        ("named.irc.example", "named"),
        ("any.irc.example", "wild below"),
        ("a.b.irc.example", None),
        ("example", None),
        ("irc.example.net", None),
    ],
)
def test_a_wildcard_takes_the_subdomains_that_nobody_else_names(router, servers, domain, found):
    said = []
    for name in ("*.example", "*.irc.example", "named.irc.example"):
        owner = {"*.example": "wild", "*.irc.example": "wild below"}.get(name, "named")
        router.add_route(name, lambda stanza, owner=owner: said.append(owner), owner)
    router.route(hail(JID.parse(f"romeo@{domain}")))
    assert said == ([found] if found else [])
    assert len(servers) == (0 if found else 1)


def test_a_wildcard_goes_without_the_domain_that_it_is_below(router, servers):
    said = []
    for name in ("*.irc.example", "irc.example"):
        router.add_route(name, lambda stanza, name=name: said.append(name), name)
    router.remove_route("irc.example")
    router.route(hail(JID.parse("any.irc.example")))
    assert said == ["*.irc.example"]
    router.remove_route("*.irc.example")
    router.route(hail(JID.parse("any.irc.example")))
    assert len(said) == len(servers) == 1


# Coming and going


def test_a_domain_is_served_by_one(router, nodes):
    router.add_route("montague.example", print, "host montague.example")
    with pytest.raises(ValueError, match=r"served by host montague\.example already"):
        router.add_route("montague.example", print, "other")
    assert router.owner("montague.example") == "host montague.example"
    assert router.domains == ("montague.example",)
    assert nodes.told == [("added", "montague.example")]


def test_a_route_that_is_removed_is_gone(router, nodes, servers):
    router.add_route("montague.example", print, "host")
    router.remove_route("montague.example")
    router.route(hail())
    assert len(servers) == 1
    assert router.owner("montague.example") == ""
    assert nodes.told[-1] == ("removed", "montague.example")
    with pytest.raises(KeyError):
        router.remove_route("montague.example")


# Errors


@pytest.fixture
def said(router):
    """What comes back to the sender."""
    said = []
    router.add_route("capulet.example", said.append, "host capulet.example")
    return said


@pytest.mark.parametrize(
    ("error", "condition"),
    [(StanzaError("forbidden"), "forbidden"), (JIDError("no JID"), "jid-malformed")],
)
@pytest.mark.parametrize(
    "stanza",
    [
        hail(type="chat"),
        hail(),
        hail(kind=Presence),
        hail(kind=Presence, type="subscribe"),
        hail(kind=Iq, type="get"),
        hail(kind=Iq, type="set"),
        hail(kind=Iq, type="nonsense"),
        hail(type="result"),  # of a message that is nothing
    ],
)
def test_what_is_refused_goes_back_to_its_sender(router, said, stanza, error, condition):
    stanza = stanza.copy_for(ROMEO)
    router.add_route("montague.example", refusing(error), "host")
    router.route(stanza)
    (answer,) = said
    assert type(answer) is type(stanza)
    assert (answer.to, answer.from_, answer.type) == (JULIET, ROMEO, "error")
    assert error_of(answer).condition == condition


@pytest.mark.parametrize(
    "stanza",
    [
        hail(type="error"),
        hail(kind=Presence, type="error"),
        hail(kind=Presence, type="unavailable"),
        hail(kind=Iq, type="error"),
        hail(kind=Iq, type="result"),
    ],
)
def test_errors_and_results_are_never_answered(router, said, stanza):
    # RFC 6120, 8.3.1; robustness rule 27.
    router.add_route("montague.example", refusing(StanzaError("forbidden")), "host")
    router.route(stanza.copy_for(ROMEO))
    router.bounce(stanza, StanzaError("forbidden"))
    assert said == []


def test_a_stanza_to_nobody_is_refused(router, said):
    router.route(hail(to=None))
    assert error_of(said[0]).condition == "bad-request"


def test_a_stanza_to_a_malformed_address_is_refused(router, said):
    head = "<message to='@' from='juliet@capulet.example'/>"
    message = Message.received(
        {"to": "@", "from": "juliet@capulet.example"}, (), head.encode(), len(head)
    )
    router.route(message)
    assert error_of(said[0]).condition == "jid-malformed"
    assert said[0].attributes["from"] == "@"


@pytest.mark.parametrize("from_", [None, "@"])
def test_who_cannot_be_answered_is_not(router, said, servers, from_):
    attributes = {"to": "montague.example", **({"from": from_} if from_ else {})}
    head = "<message " + " ".join(f"{k}='{v}'" for k, v in attributes.items()) + "/>"
    router.add_route("montague.example", refusing(StanzaError("forbidden")), "host")
    router.route(Message.received(attributes, (), head.encode(), len(head)))
    assert said == servers == []


def test_two_that_refuse_everything_do_not_go_on(router, servers):
    for domain in ("capulet.example", "montague.example"):
        router.add_route(domain, refusing(StanzaError("forbidden")), domain)
    router.route(hail())
    assert servers == []


def test_what_is_no_error_of_a_stanza_comes_out(router, said):
    router.add_route("montague.example", refusing(RuntimeError("Alack")), "host")
    with pytest.raises(RuntimeError):
        router.route(hail())
    assert said == []


# Hops


@pytest.mark.parametrize("limit", [MAX_HOPS, 3])
def test_a_stanza_that_runs_in_a_circle_is_stopped(router, log, limit):
    hops = []
    router.max_hops = limit

    def turn_round(stanza):
        hops.append(stanza.hops)
        router.route(stanza)

    router.add_route("montague.example", turn_round, "host")
    router.route(hail(id="1"))
    assert hops == list(range(1, limit + 1))
    ((event, fields),) = log
    assert event == "a stanza runs in a circle"
    assert "id='1'" in fields["stanza"]


def test_an_answer_has_come_as_far_as_its_question(router, said):
    router.add_route("montague.example", refusing(StanzaError("forbidden")), "host")
    message = hail()
    message.hops = 5
    router.route(message)
    assert said[0].hops == 7
    message = hail()
    message.hops = MAX_HOPS - 1
    router.route(message)
    assert len(said) == 1


domains = st.sampled_from(["capulet.example", "montague.example", "echo.capulet.example", "x.y"])
kinds = st.sampled_from([Message, Presence, Iq])
types = st.sampled_from(["", "get", "set", "result", "error", "chat", "subscribe", "unavailable"])


@given(st.dictionaries(domains, st.booleans()), domains, domains, kinds, types)
def test_every_stanza_is_delivered_or_answered_at_most_once(routes, to, from_, kind, type_):
    delivered = []
    servers = Servers()
    router = Router(Nodes(), servers, Log())

    def handler(domain, refuses):
        def receive(stanza):
            assert stanza.to.domain == domain
            delivered.append(stanza)
            if refuses:
                raise StanzaError("service-unavailable")

        return receive

    for domain, refuses in routes.items():
        router.add_route(domain, handler(domain, refuses), domain)
    stanza = kind(
        Element("urn:x", "x"), to=JID.parse(f"romeo@{to}"), from_=JID.parse(f"juliet@{from_}")
    )
    with stanza.edit() as tree:
        tree.set("type", type_ or None)
    router.route(stanza)
    everywhere = delivered + servers
    assert everywhere[0] is stanza
    assert len(everywhere) <= 2
    for answer in everywhere[1:]:
        assert (answer.type, answer.to.domain) == ("error", from_)
        assert routes[to]


def test_a_node_alone_has_everything_here():
    alone = SingleNode()
    assert isinstance(alone, Cluster)
    assert alone.node_of_route("montague.example") is None
    with pytest.raises(LookupError):
        alone.forward("other", hail())


def test_it_is_known_which_host_a_domain_belongs_to(router):
    host, other = object(), object()
    router.add_route("capulet.example", print, "host capulet.example", host)
    router.add_route("*.capulet.example", print, "component", other)
    router.add_route("montague.example", print, "somebody's")
    assert router.host_of("capulet.example") is host
    assert router.host_of("plays.capulet.example") is other
    assert router.host_of("a.plays.capulet.example") is None
    assert router.host_of("montague.example") is None
    assert router.host_of("verona.example") is None
