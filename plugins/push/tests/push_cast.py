"""An app server and a roster in the same process, and phones that have gone."""

from stonechat.errors import StanzaError
from stonechat.forms import Form
from stonechat.jid import JID
from stonechat.plugin import HANDLED, concerns, hookimpl
from stonechat.stanza import Iq

NS_PUSH = "urn:xmpp:push:0"
NS_PUBSUB = "http://jabber.org/protocol/pubsub"
NS_SM = "urn:xmpp:sm:3"
JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example/orchard"
APP = "push.example"
SECRET = (
    "<x xmlns='jabber:x:data' type='submit'>"
    "<field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#publish-options</value>"
    "</field><field var='secret'><value>eruio234vzxc2kla-91</value></field></x>"
)


class AppServer:
    """An app server within the same process: it notes what is published, and answers."""

    def __init__(self, host, options):
        self.host = host
        self.published = []
        self.answer = None
        """The error for the next notification, `silence`, or None for a result."""
        self.answers = {}

    def start(self):
        for domain in (APP, "other.example"):
            self.host.register_route(domain, self.receive)

    def receive(self, stanza):
        assert isinstance(stanza, Iq), stanza
        if stanza.type != "set":
            return
        self.published.append(stanza)
        answer = self.answers.get(self.node_of(stanza), self.answer)
        if answer == "silence":
            return
        if isinstance(answer, StanzaError):
            raise answer
        self.host.route(stanza.result())

    @staticmethod
    def node_of(iq):
        return iq.payload.find("publish").get("node")

    def nodes(self):
        """The nodes published to since the last call."""
        published, self.published = self.published, []
        return [self.node_of(iq) for iq in published]

    def summaries(self):
        """What the forms have said since the last call."""
        published, self.published = self.published, []
        return [summary(iq) for iq in published]


def summary(iq):
    notification = iq.payload.find("publish").find("item").find("notification", NS_PUSH)
    form = Form.read(notification.first(), form_type="urn:xmpp:push:summary", type="submit")
    return {field.var: field.value for field in form.fields}


class Roster:
    """A roster as far as requests go."""

    def __init__(self, host, options):
        host.provide("roster", self)
        self.waiting = set()
        self.contacts = set()
        self.fails = False

    @hookimpl
    @concerns("type:subscribe")
    def stonechat_presence_to_user(self, presence):
        if presence.from_.bare not in self.contacts:
            self.waiting.add(presence.from_.bare)
        return HANDLED

    def requests(self, localpart):
        if self.fails:
            raise StanzaError("internal-server-error", type="wait")
        return self.waiting


def enable(client, node="phone", service=APP, form=""):
    client.set(f"<enable xmlns='{NS_PUSH}' jid='{service}' node='{node}'>{form}</enable>")


def asleep(host, node="phone", resource="phone"):
    """A phone that has enabled notifications and is gone."""
    phone = host.connect(f"{JULIET}/{resource}")
    phone.available()
    enable(phone, node)
    phone.disconnect()
    return phone


def registered(host, jid=JULIET):
    return [
        (row["service"], row["node"]) for row in host.plugin("push").registered(JID.parse(jid))
    ]
