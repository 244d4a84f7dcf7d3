"""Another server's streams, its DNS and its sockets, all of them imagined."""

from __future__ import annotations

from collections import defaultdict

from gevent.event import Event

from stonechat.errors import StanzaError
from stonechat.federation import Pair
from stonechat.jid import JID
from stonechat.net.dialer import Dialed, DialError, Failure
from stonechat.net.resolver import NotFound, Target
from stonechat.stanza import Message, Stanza
from stonechat.testing.client import error_of

LOCAL = "capulet.example"
REMOTE = "montague.example"
PAIR = Pair(LOCAL, REMOTE)


class Stream:
    """What the manager sees of a stream; a test plays the peer."""

    def __init__(self, owner, pair, *, is_outgoing=True, target=None):
        self.owner = owner
        self.pair = pair
        self.is_outgoing = is_outgoing
        self.target = target
        self.address = "203.0.113.1"
        self.is_open = self.is_taking = True
        self.may_do_without_tls = False
        self.avoids_tls = False
        self.lingers = False  # its peer does not end it when we do
        self.was_left = False
        self.is_secure = True
        self.is_bidirectional = False
        self.is_gone = False
        self.peer_error = ""
        self.authorized_pairs = frozenset()
        self.takes_stanzas = True
        self.sent = []
        self.left = []
        self.faults = {}
        self.proofs = []
        self.proves = False
        self.error = None
        self.has_started = False
        self.stanzas_in = 0

    @property
    def stanzas_out(self):
        return len(self.sent)

    # What the manager does

    def start(self):
        self.has_started = True

    def may_send(self, pair):
        return self.is_open and self.is_sending and pair in self.authorized_pairs

    @property
    def is_sending(self):
        return self.is_outgoing or self.is_bidirectional

    def send(self, stanza):
        if not self.is_open:
            return False
        assert self.takes_stanzas
        self.sent.append(stanza)
        return True

    def prove(self, pair):
        self.proofs.append(pair)
        return self.proves(pair) if callable(self.proves) else self.proves

    def fault_of(self, pair):
        if self.owner.policy(*pair) is None:
            return "it is not spoken to"
        return self.faults.get(pair.remote, "")

    def unacknowledged(self):
        return self.left

    def close(self, error=None):
        if self.is_open:
            self.error = error
            self.is_open = False
            if not self.lingers:
                self.lose("closed here")

    def end(self, error=None):
        if self.is_taking:
            self.error = self.error or error
            self.was_left = True
            self.lose("ended here")

    # What the peer does

    def offer(self):
        self.owner.opened(self)

    def authorize(self, *pairs):
        for pair in pairs or [self.pair]:
            self.authorized_pairs |= {pair}
            if not self.is_outgoing:
                self.owner.incoming_ready(self, pair)
            if self.is_sending:
                self.owner.authorized(self, pair)

    def refuse(self, condition="remote-server-timeout", pair=None, **arguments):
        self.owner.refused(self, pair or self.pair, StanzaError(condition, "No.", **arguments))

    def lose(self, reason="closed by the peer"):
        self.is_open = self.is_taking = False
        self.is_gone = True
        self.owner.lost(self, reason)

    def flow(self):
        self.takes_stanzas = True
        self.owner.flowing(self)

    @property
    def ids(self):
        return [stanza.id for stanza in self.sent]


class Ways:
    """DNS and sockets as a test wants them: what a domain is mapped to happens.

    A list of targets is where its server is; an error is raised; an Event is waited for.
    """

    def __init__(self, server):
        self.server = server
        self.dns = {}
        self.sockets = defaultdict(lambda: None)
        self.asked = []
        self.dialed = []
        self.streams = []
        self.renewed = 0
        self.contexts = self.connector = None

    def renew(self):
        self.renewed += 1

    def targets(self, domain):
        self.asked.append(domain)
        outcome = self.dns.get(domain, [target(domain)])
        if isinstance(outcome, Event):
            outcome.wait()
            outcome = [target(domain)]
        if isinstance(outcome, Exception):
            raise outcome
        return list(outcome)

    def dial(self, targets, seconds):
        for each in targets:
            self.dialed.append((each.host, seconds))
            outcome = self.sockets[each.host]
            if isinstance(outcome, Event):
                outcome.wait()
            elif outcome is not None:
                raise outcome
            return Dialed(None, each, "203.0.113.1")
        raise DialError([], is_not_found=False)

    def open(self, owner, host, pair, dialed, seconds):
        stream = Stream(owner, pair, target=dialed.target)
        stream.host = host
        stream.seconds = seconds
        self.streams.append(stream)
        return stream


def target(domain):
    return Target(f"xmpp.{domain}", 5269, False)


def refused_connection(domain):
    failure = Failure(target(domain), "203.0.113.1", "Connection refused")
    return DialError([failure], is_not_found=False)


def no_such_domain(domain):
    return NotFound(f"{domain} does not exist")


class World:
    """A host that federates, a client of it, and the others."""

    def __init__(self, server, *, plugins=None, more_hosts=(), **federation):
        self.server = server
        # At the end nobody waits for domains that never answer.
        server.configure(
            federation={"enabled": True, **federation}, limits={"shutdown_timeout": "200 ms"}
        )
        self.host = server.host(LOCAL, plugin_classes=plugins or {})
        for name in more_hosts:
            server.host(name)
        self.s2s = server.kernel.s2s
        self.ways = self.s2s.ways = Ways(server)
        self.juliet = self.host.connect(f"juliet@{LOCAL}/balcony")

    def settle(self):
        self.server.settle()

    def pass_(self, seconds):
        self.settle()
        self.server.clock.advance(seconds)

    def say(self, id, to=REMOTE):
        """Juliet writes to Romeo there."""
        self.juliet.send(f"<message to='romeo@{to}' id='{id}'><body>Hark!</body></message>")

    def route(self, id, local=LOCAL, remote=REMOTE, cls=Message, **attributes):
        """A stanza of somebody's, on its way out."""
        to, from_ = JID.make("romeo", remote), JID.make("nurse", local)
        stanza = cls(to=to, from_=from_, id=id, **attributes)
        self.server.kernel.router.route(stanza)
        return stanza

    def stream(self, number=-1):
        """A stream that was opened by us; the last one, if there were several."""
        self.settle()
        return self.ways.streams[number]

    def open(self, remote=REMOTE):
        """A stream to there, by which stanzas leave."""
        if not any(s.pair.remote == remote and s.is_open for s in self.ways.streams):
            self.route("first", remote=remote)
        stream = self.stream()
        stream.offer()
        stream.authorize()
        del stream.sent[:]
        return stream

    def incoming(self, remote=REMOTE, *, is_bidirectional=False, local=LOCAL):
        """A stream of theirs, which has proven nothing."""
        stream = Stream(self.s2s, Pair(local, remote), is_outgoing=False)
        stream.is_bidirectional = is_bidirectional
        self.s2s.begun(stream)
        return stream

    def errors(self):
        """The answers that Juliet has got since the last time: ids, conditions and types."""
        self.settle()
        found = []
        for stanza in self.juliet.received():
            if isinstance(stanza, Stanza):
                error = error_of(stanza)
                found.append((stanza.id, error.condition, error.type))
        return found
