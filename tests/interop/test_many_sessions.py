"""Five hundred clients at once over TLS: they log in, are available, and all get a message.

Ten thousand idle sessions are a matter of the benchmarks.
"""

import ssl
from concurrent.futures import ThreadPoolExecutor

import pytest
from witnesses.cast import PASSWORD
from witnesses.node import CAPULET
from witnesses.own_client import OwnClient
from witnesses.pipes import ask_for_tls, open_socket

from stonechat.testing import until

ACCOUNTS = 50
RESOURCES = 10  # no more than an account may have by default

AT_ONCE = 20


class PlainTlsPipe:
    """TLS by the standard library: a hundredth of a second for a login, and little memory."""

    def __init__(self, port, context):
        connection = open_socket(port)
        ask_for_tls(connection, CAPULET)
        self._tls = context.wrap_socket(connection, server_hostname=CAPULET)

    def send(self, data):
        self._tls.sendall(data)

    def receive(self):
        return self._tls.recv(65536)

    def bindings(self):
        return {}

    def close(self):
        self._tls.close()


def log_in(node, context, number):
    """Bind a session of one of the accounts, and be available."""
    client = OwnClient(PlainTlsPipe(node.starttls, context), CAPULET)
    name = f"servant{number % ACCOUNTS}"
    client.log_in_at_once("PLAIN", f"\0{name}\0{PASSWORD}")
    client.bind(f"room{number // ACCOUNTS}")
    client.send("<presence/>")
    client.jid = f"{name}@{CAPULET}/room{number // ACCOUNTS}"
    # Its own presence comes back when all know of it.
    while client.receive().get("from") != client.jid:
        continue
    return client


@pytest.fixture
def servants(cast):
    """All the clients."""
    for number in range(ACCOUNTS):
        cast.account(f"servant{number}@{CAPULET}")
    context = ssl.create_default_context(cafile=str(cast.node.authority.file))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        clients = list(
            pool.map(lambda n: log_in(cast.node, context, n), range(ACCOUNTS * RESOURCES))
        )
        yield clients
        list(pool.map(lambda client: client.pipe.close(), clients))


def next_message(client):
    while True:
        stanza = client.receive()
        if stanza.tag == "{jabber:client}message":
            return stanza.findtext("{jabber:client}body")


def test_five_hundred_are_served(cast, servants, record_property):
    node = cast.node
    assert len(node.ask("connected-users")) == len(servants) == ACCOUNTS * RESOURCES
    # Nobody expects a value; whoever keeps the report can compare.
    record_property("server_memory_bytes", node.ask("status")["memory_bytes"])

    capulet = cast.login(f"capulet@{CAPULET}/hall")
    for number in range(ACCOUNTS):
        capulet.say(f"servant{number}@{CAPULET}", "Go, sirrah, trudge about 🕯", type="headline")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert set(pool.map(next_message, servants)) == {"Go, sirrah, trudge about 🕯"}

    # Each can be spoken to alone, too, and they speak to each other.
    for sender, receiver in zip(servants, servants[1:] + servants[:1], strict=True):
        sender.send(
            f"<message type='chat' to='{receiver.jid}'><body>{sender.jid}</body></message>"
        )
    for sender, receiver in zip(servants, servants[1:] + servants[:1], strict=True):
        assert next_message(receiver) == sender.jid

    assert node.ask("kick", jid=f"servant0@{CAPULET}") == RESOURCES
    left = len(servants) + 1 - RESOURCES
    until(lambda: len(node.ask("connected-users")) == left, "end of ten sessions")
