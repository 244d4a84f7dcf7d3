"""Other servers, as far as a multicast service can see them, and short forms for talking."""

import pytest

from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.namespaces import NS_DISCO_INFO, NS_DISCO_ITEMS
from stonechat.stanza import Element, Iq, Message, Stanza

NS_ADDRESS = "http://jabber.org/protocol/address"
MULTICAST = "multicast.capulet.example"

# The servers of the XEP's example flow, and some that are less polite.
ITSELF = "header1.example"
SERVICE = "header2.example"
NEITHER = "noheader.example"


class World:
    """A plugin that answers for all the other domains, and keeps what comes there."""

    def __init__(self, host, options):
        self.host = host
        self.came = []
        self.asked = []
        self.is_silent = False
        self.unanswered = []
        self.features = {ITSELF: [NS_ADDRESS], f"multicast.{SERVICE}": [NS_ADDRESS]}
        self.items = {SERVICE: ["conference.header2.example", f"multicast.{SERVICE}"]}
        self.forms = {}

    def start(self):
        services = f"multicast.{SERVICE}", f"conference.{SERVICE}"
        for domain in (ITSELF, SERVICE, NEITHER, *services, "elsewhere.example", "example"):
            self.host.register_route(domain, self.receive)

    def receive(self, stanza):
        if not isinstance(stanza, Iq):
            self.came.append(stanza)
            return
        self.asked.append((stanza.to.text, stanza.namespace.rpartition("#")[2]))
        assert stanza.from_ == self.host.jid
        if self.is_silent:
            self.unanswered.append(stanza)
        else:
            self.answer(stanza)

    def answer(self, iq):
        answer = Element(iq.namespace, "query")
        if iq.namespace == NS_DISCO_INFO:
            for feature in self.features.get(iq.to.text, [NS_DISCO_INFO]):
                answer.add("feature", var=feature)
            if form := self.forms.get(iq.to.text):
                answer.append(form)
        elif iq.namespace == NS_DISCO_ITEMS:
            for jid in self.items.get(iq.to.text, []):
                answer.add("item", jid=jid)
        else:
            raise StanzaError("service-unavailable")
        self.host.route(iq.result(answer))

    def speak_up(self):
        """Answer what was asked, and all that is asked from now on."""
        self.is_silent = False
        unanswered, self.unanswered = self.unanswered, []
        for iq in unanswered:
            self.answer(iq)

    def say(self, text):
        """Send a stanza from somewhere else."""
        self.host.route(Stanza.from_bytes(text.encode()))

    def take(self):
        """What has come since the last time, as (to, addresses)."""
        came, self.came = self.came, []
        return [(stanza.to.text, listed(stanza)) for stanza in came]


def listed(stanza):
    """The addresses of a stanza as (type, jid or what else, delivered), in order."""
    headers = list(stanza.element.find_all("addresses", NS_ADDRESS))
    assert len(headers) < 2
    if not headers:
        return None
    return [
        (
            address.get("type"),
            address.get("jid") or address.get("uri") or address.get("desc"),
            address.get("delivered") == "true",
        )
        for address in headers[0].elements
    ]


def header(*addresses):
    """An address header: `("to", "juliet@capulet.example")` and the like."""
    element = Element(NS_ADDRESS, "addresses")
    for type_, jid, *more in addresses:
        address = element.add("address", type=type_)
        if jid:
            address.set("jid", str(jid))
        for attribute in more:
            address.set(*attribute)
    return element


class Talk:
    """Short forms for conversations by way of a multicast service."""

    listed = staticmethod(listed)
    header = staticmethod(header)

    def say(self, client, *addresses, body="But soft!", type="chat", to=MULTICAST):
        """Send a message to many."""
        client.send(
            Message(
                header(*addresses),
                Element("jabber:client", "body", None, body),
                to=JID.parse(to),
                type=type,
                id="m1",
            )
        )

    def show(self, client, *addresses, type="", to=MULTICAST):
        """Send presence to many."""
        kind = f" type='{type}'" if type else ""
        client.send(f"<presence{kind} to='{to}'>{header(*addresses)}</presence>")

    def refusals(self, client):
        """The conditions of all errors that have come, with who says so."""
        return [
            (stanza.element.find("error").first().name, stanza.from_.text)
            for stanza in client.received()
            if stanza.type == "error"
        ]


@pytest.fixture
def talk():
    return Talk()


@pytest.fixture
def options():
    return {}


@pytest.fixture
def server(server):
    heralds = {"users": ["paris@capulet.example"]}
    friends = {"hosts": ["header1.example"]}
    server.configure(access={"heralds": heralds, "friends": friends})
    return server


@pytest.fixture
def host(server, options):
    return server.host(
        "capulet.example",
        plugin_classes={"world": World},
        multicast=options,
        disco={},
        roster={},
    )


@pytest.fixture
def world(host):
    return host.plugin("world")


@pytest.fixture
def romeo(host):
    return host.connect("romeo@capulet.example/orchard")


@pytest.fixture
def juliet(host):
    client = host.connect("juliet@capulet.example/balcony")
    client.available()
    client.received()
    return client


@pytest.fixture
def nurse(host):
    client = host.connect("nurse@capulet.example/kitchen")
    client.available()
    client.received()
    return client
