"""Who plays in these tests, and what holds the play up."""

from gevent.event import Event

from stonechat.jid import JID
from stonechat.stanza import Message

ROMEO = "romeo@capulet.example/orchard"
JULIET = "juliet@capulet.example"
NS_SM = "urn:xmpp:sm:3"
DEADLINE = 5


def bodies(client):
    """The texts of the messages that have come."""
    return [item.body for item in client.received() if isinstance(item, Message)]


def settled(host, client):
    """The same, once the server has done what it can."""
    host.server.settle()
    return bodies(client)


def count(host):
    """How many messages wait for her."""
    return host.plugin("offline").count(JID.parse(JULIET))


def arrive(host, resource="balcony", priority=0, *, managed=False):
    """Juliet logs in and is available; `managed` by XEP-0198."""
    juliet = host.connect(f"{JULIET}/{resource}")
    if managed:
        juliet.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
        juliet.id = juliet.receive().get("id")
    juliet.available(priority)
    return juliet


def acknowledge(client, h):
    client.send(f"<a xmlns='{NS_SM}' h='{h}'/>")


def spool(romeo, *lines):
    """Romeo says so many things, to nobody who is there."""
    for line in lines:
        romeo.message(JULIET, line)


def lines(*numbers):
    """What is said where it does not matter."""
    return [str(number) for number in range(*numbers)]


def outlets(host, client):
    """What stands between the server and a client."""
    return host.kernel.session(client.jid)._outlets


class Gate:
    """Holds up a method of the spool, before or after its work, until it is opened."""

    def __init__(self, monkeypatch, spool, name, *, before=False):
        self.reached = Event()
        self.opened = Event()
        work = getattr(spool, name)

        def held(*arguments, **named):
            result = None if before else work(*arguments, **named)
            self.reached.set()
            assert self.opened.wait(DEADLINE)
            return work(*arguments, **named) if before else result

        monkeypatch.setattr(spool, name, held)
