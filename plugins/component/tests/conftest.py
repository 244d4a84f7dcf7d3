"""A server that is a process, and peers that speak to it octet by octet."""

import hashlib
import re
from base64 import b64encode

import pytest

from stonechat.testing import PASSWORD, ServerProcess

GATEWAY = "gateway.capulet.example"
SMS = "sms.capulet.example"
PUSH = "push.capulet.example"
SECRET = "What's in a name?"
JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"
DEADLINE = 20

NS_COMPONENT = "jabber:component:accept"


def configuration(**changes):
    return {
        "hosts": {"capulet.example": {}},
        "listen": [
            {"type": "c2s", "starttls": "off"},
            {"type": "component"},
        ],
        "allow_plain_without_tls": True,
        "plugins": {
            "disco": {},
            "component": {
                "components": [
                    {
                        "domains": ["gateway.@HOST@", SMS],
                        "secret_file": "gateway.secret",
                        "name": "To other networks",
                    },
                    {
                        "domains": [PUSH],
                        "secret_file": "gateway.secret",
                        "connections": 2,
                        "listed": False,
                    },
                ]
            },
        },
        **changes,
    }


def make_process(directory, document):
    directory.mkdir(exist_ok=True)
    (directory / "gateway.secret").write_text(f"{SECRET}\n")
    process = ServerProcess(directory, document)
    process.start()
    process.register(JULIET, ROMEO)
    return process


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    """One for all tests of a module that leave it as it was."""
    process = make_process(tmp_path_factory.mktemp("server") / "server", configuration())
    yield process
    process.kill()


@pytest.fixture
def own_process(tmp_path):
    """One that a test may stop and change."""
    process = make_process(tmp_path / "server", configuration())
    yield process
    process.kill()


@pytest.fixture
def peers():
    """Peers register here, to be disconnected at the end."""
    peers = []
    yield peers
    for peer in peers:
        peer.socket.close()


@pytest.fixture
def connect(process, peers):
    """A component's connection that has said nothing yet."""

    def connect():
        peers.append(Raw(process, process.ports[1]))
        return peers[-1]

    return connect


@pytest.fixture
def join(connect):
    """A component that is admitted."""

    def join(domain=GATEWAY):
        component = connect()
        component.open(domain)
        component.handshake()
        return component

    return join


@pytest.fixture
def login(process, peers):
    """A client that has bound a resource."""

    def login(jid=f"{JULIET}/balcony"):
        peers.append(RawClient(process, jid))
        return peers[-1]

    return login


class Raw:
    """A socket, and what has come over it."""

    def __init__(self, process, port):
        self.socket = process.connect(port, DEADLINE)
        self.unread = ""

    def send(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode())

    def read(self, end):
        """What comes, up to and with a match of the pattern."""
        while (found := re.search(end, self.unread)) is None:
            data = self.socket.recv(65536)
            assert data, f"closed after {self.unread!r}"
            self.unread += data.decode()
        text, self.unread = self.unread[: found.end()], self.unread[found.end() :]
        return text

    def rest(self):
        """All that comes until the server closes the connection."""
        while data := self.socket.recv(65536):
            self.unread += data.decode()
        return self.unread

    def ends_with(self, condition):
        text = self.rest()
        assert f"<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'" in text.replace(
            '"', "'"
        ), text
        assert text.endswith("</stream:stream>")
        return text

    # As a component

    def open(self, domain, namespace=NS_COMPONENT, more=""):
        self.send(
            f"<stream:stream xmlns='{namespace}' to='{domain}'"
            f" xmlns:stream='http://etherx.jabber.org/streams'{more}>"
        )
        self.header = self.read(r"<stream:stream[^>]*>")
        self.id = re.search(r" id='([^']*)'", self.header)[1]

    def proof(self, secret=SECRET):
        return hashlib.sha1((self.id + secret).encode()).hexdigest()  # noqa: S324

    def handshake(self, secret=SECRET):
        self.send(f"<handshake>{self.proof(secret)}</handshake>")
        assert self.read("<handshake/>") == "<handshake/>"

    def sync(self, domain=GATEWAY):
        """Return when the server has handled all that was sent."""
        self.send(
            f"<iq type='get' id='sync' from='{domain}' to='capulet.example'>"
            "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        )
        return self.read(r"id='sync'.*?</iq>")


class RawClient(Raw):
    def __init__(self, process, jid):
        super().__init__(process, process.port)
        account, _, resource = jid.partition("/")
        localpart, _, domain = account.partition("@")
        header = (
            f"<stream:stream to='{domain}' version='1.0' xmlns='jabber:client'"
            " xmlns:stream='http://etherx.jabber.org/streams'>"
        )
        self.send(header)
        self.read("</stream:features>")
        word = b64encode(f"\0{localpart}\0{PASSWORD}".encode()).decode()
        self.send(
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{word}</auth>"
        )
        self.read("<success[^>]*/>")
        self.send(header)
        self.read("</stream:features>")
        self.send(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            f"<resource>{resource}</resource></bind></iq>"
        )
        self.read("</iq>")
        self.send("<presence/>")
