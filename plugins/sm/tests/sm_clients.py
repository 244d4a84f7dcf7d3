"""Clients that have enabled stream management, and come back."""

from contextlib import contextmanager

from stonechat.errors import StorageError
from stonechat.stanza import Element, Message, Stanza
from stonechat_sm.elements import NS_SM

ROMEO = "romeo@capulet.example/orchard"
JULIET = "juliet@capulet.example/balcony"
NS_STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
ENABLE = f"<enable xmlns='{NS_SM}'/>"
ENABLE_RESUMPTION = f"<enable xmlns='{NS_SM}' resume='true'/>"
REQUEST = f"<r xmlns='{NS_SM}'/>"
PASSWORD = "Wherefore art thou?"


def ack(h):
    return f"<a xmlns='{NS_SM}' h='{h}'/>"


def managed_client(host, jid, enable=ENABLE):
    """A client that is available and has enabled stream management."""
    client = host.connect(jid)
    client.available()
    client.received()
    client.send(enable)
    enabled = client.receive()
    assert enabled.name == "enabled", enabled
    return client


def resumable_client(host, jid, enable=ENABLE_RESUMPTION):
    """A client that may come back; returns it and what it comes back with.

    It has been sent one stanza that it has not acknowledged: its own presence.
    """
    client = host.connect(jid)
    client.send(enable)
    enabled = client.receive()
    assert enabled.get("resume") == "true"
    client.available()
    host.server.settle()
    client.received()
    return client, enabled.get("id")


def away(host, jid):
    """A client that may come back, and has lost its connection; what it comes back with."""
    client, id = resumable_client(host, jid)
    client.drop()
    host.server.settle()
    return id


def logged_in(host, localpart="juliet"):
    stream = host.open_stream(tls=True)
    assert stream.authenticate(localpart, PASSWORD).name == "success"
    stream.open()
    return stream


def resume_element(id, h=0):
    return f"<resume xmlns='{NS_SM}' previd='{id}' h='{h}'/>"


def resume(host, id, h=0, localpart="juliet"):
    """A new stream of the account, and what the server says to its wish."""
    stream = logged_in(host, localpart)
    stream.send(resume_element(id, h))
    return stream, stream.receive_element()


def first_client(host, jid=JULIET):
    """Somebody who comes anew and gets what waits."""
    client = host.connect(jid)
    client.available()
    host.server.settle()
    return client


def managed_of(host, jid):
    jid = str(getattr(jid, "jid", jid))
    everybody = host.plugin("sm").resumption.managed
    (managed,) = [managed for managed in everybody if managed.session.jid.text == jid]
    return managed


def nonzas(client):
    return [item for item in client.received() if isinstance(item, Element)]


def acks(client):
    return [item.get("h") for item in nonzas(client) if item.name == "a"]


def bodies(stream):
    """Those of the messages that have come, but for errors."""
    items = stream.received()
    return [item.body for item in items if isinstance(item, Message) and item.type != "error"]


def errors(stream):
    """The conditions of the errors that have come."""
    return [
        error.first().name
        for item in stream.received()
        if isinstance(item, Stanza)
        and (error := item.element.find("error", "jabber:client")) is not None
    ]


def spooled(host, token):
    """What the spool has of a session: the numbers and the bodies."""
    rows = host.plugin("sm").spool.tables.stanzas(token)
    return [(row.number, Stanza.from_bytes(row.stanza).body) for row in rows]


def crash(server):
    """Stop and start; but stream management does nothing of what it does at the end."""
    for host in server.kernel.hosts.values():
        resumption = host.plugins.running["sm"].instance.resumption
        resumption.managed.clear()
        resumption.ended = lambda managed: None
    server.restart()
    server.settle()


class Store:
    """The store of a host; while it `refuses` nothing is written."""

    def __init__(self, host):
        self.host = host
        self._write = host.kernel.storage.write

    @contextmanager
    def refuses(self):
        """What is written is refused, as by a database that has stopped."""
        storage = self.host.kernel.storage

        def refuse(work, **options):
            raise StorageError("the store is down")

        storage.write = refuse
        try:
            yield
        finally:
            del storage.write

    @contextmanager
    def is_full(self, room=0):
        """Too much waits to be written already, but for so many rows of ours."""
        batcher = self.host.plugin("sm").spool._batcher
        limit, batcher._limit = batcher._limit, room
        try:
            yield
        finally:
            batcher._limit = limit
