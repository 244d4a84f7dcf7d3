"""A plugin that does with streams what a test says, and how tests knock at it."""

import base64

from stonechat import hookimpl
from stonechat.errors import SaslFailure
from stonechat.jid import JID
from stonechat.namespaces import NS_BIND
from stonechat.sasl import Challenge, Mechanism, SaslFailed, Success
from stonechat.testing.kit import PASSWORD

JULIET = JID.parse("juliet@capulet.example")
ROMEO = JID.parse("romeo@capulet.example")
DOOR = "urn:example:door"
KNOCK = f"<knock xmlns='{DOOR}'/>"
BIND = f"<iq type='set' id='b1'><bind xmlns='{NS_BIND}'><resource>x</resource></bind></iq>"
MESSAGE = "<message to='romeo@capulet.example'><body>Hist!</body></message>"


class Token(Mechanism):
    """A word that opens Juliet's account, and one that does something else."""

    def step(self, response):
        account = self.name_account("juliet")
        word = response.decode()
        if word == "break":
            raise LookupError("a bug")
        if word == "more":
            return Challenge(b"?")
        with self.lookup.attempt(account.localpart):
            if word != "open":
                raise SaslFailure("not-authorized")
        return Success(account)


class Door:
    """Does at each knock what the test says; remembers the streams."""

    def __init__(self, host, options):
        self.host = host
        self.streams = []
        self.answers = []
        self.told = []
        self.knocked = self.nothing
        self.bound = self.nothing

    def nothing(self, *_):
        pass

    def token(self, stream, lookup):
        if "no tokens" in stream.data:
            raise SaslFailure("invalid-mechanism")
        return Token("TOKEN", self.host.name, lookup)

    @hookimpl
    def stonechat_unbound_stream_elements(self):
        return {(DOOR, "knock"): self.knock}

    @hookimpl
    def stonechat_sasl_mechanisms(self):
        return {"TOKEN": self.token}

    @hookimpl
    def stonechat_session_bound(self, session):
        self.told.append(session)
        self.bound(session)

    def knock(self, stream, element):
        self.streams.append(stream)
        self.answers.append(self.knocked(stream))


def host_with_door(server):
    """A host that Juliet and Romeo have accounts on."""
    host = server.host("capulet.example", plugin_classes={"door": Door})
    host.create_account("juliet", PASSWORD)
    host.create_account("romeo", PASSWORD)
    return host


def b64(text):
    return base64.b64encode(text.encode()).decode()


def plain(localpart="juliet", password=PASSWORD):
    return b64(f"\0{localpart}\0{password}")


def knock(stream, door, deed):
    """Knock, and return what the plugin got for what it did."""
    door.knocked = deed
    stream.send(KNOCK)
    return door.answers[-1] if door.answers else None


def log_in(stream, door, **options):
    return knock(stream, door, lambda it: it.authenticate("PLAIN", plain(), **options))


def patiently(server, stream, door, deed, seconds=1):
    """Knock, wait as long as who guesses has to, and return what the plugin got."""
    door.knocked = deed
    stream.connection.deliver(KNOCK.encode())
    server.settle()
    server.clock.advance(seconds)
    return door.answers[-1]


def guess_often(server, host, door, deed, times):
    """So many guesses, each on a stream of its own, and what came of them."""
    return [patiently(server, host.open_stream(tls=True), door, deed, 10) for _ in range(times)]


def condition(event):
    assert isinstance(event, SaslFailed)
    return event.failure.condition
