"""What was acknowledged by stream management outlives a SIGKILL (R1), wherever it was then."""

import re
import threading

import pytest

DOMAIN = "capulet.example"
NS_SM = "urn:xmpp:sm:3"
MESSAGE = "<message to='juliet@{1}' type='chat'><body>{0}</body></message>"
REQUEST = f"<r xmlns='{NS_SM}'/>"
PLUGINS = {
    "ping": {},
    "roster": {},
    "sm": {},
    "offline": {"max_messages": 1_000_000, "max_bytes": "1 GiB"},
}
ACK = re.compile(rb"<a xmlns='urn:xmpp:sm:3' h='(\d+)'/>")
BODY = re.compile(rb"<body>(\d+)</body>")
DONE = re.compile(rb"</message>|<r xmlns='urn:xmpp:sm:3'/>")

# Each kill comes after so many acknowledgements; what is under way then differs.
KILLS = [30, 150]


class Speaker(threading.Thread):
    """Sends numbered messages, asks after every fifth, and notes what is acknowledged."""

    def __init__(self, client, goal):
        super().__init__()
        self.client, self.goal = client, goal
        self.acknowledged = 0
        self.reached = threading.Event()

    def run(self):
        sender = threading.Thread(target=self.send)
        sender.start()
        tail = b""
        try:
            while data := self.client.socket.recv(65536):
                tail += data
                for h in ACK.findall(tail):
                    self.acknowledged = max(self.acknowledged, int(h))
                tail = tail[-100:]
                if self.acknowledged >= self.goal:
                    self.reached.set()
        except OSError:
            pass
        sender.join()

    def send(self):
        try:
            for number in range(100_000):
                self.client.send(MESSAGE.format(number, DOMAIN))
                if number % 5 == 4:
                    self.client.send(REQUEST)
        except OSError:
            return


class Listener(threading.Thread):
    """Receives, and acknowledges when it is asked; notes what it has acknowledged."""

    def __init__(self, client):
        super().__init__()
        self.client = client
        self.heard = []
        self.covered = 0

    def run(self):
        buffer = b""
        try:
            while data := self.client.socket.recv(65536):
                buffer += data
                end = 0
                for found in DONE.finditer(buffer):
                    if found[0] == b"</message>":
                        piece = buffer[end : found.end()]
                        self.heard.append(int(BODY.search(piece)[1]))
                    else:
                        self.client.send(f"<a xmlns='{NS_SM}' h='{len(self.heard)}'/>")
                        self.covered = len(self.heard)
                    end = found.end()
                buffer = buffer[end:]
        except OSError:
            pass


def managed(stage, server, localpart, *, presence=True, **options):
    client = stage.login(server, localpart, **options)
    if presence:
        client.send("<presence/>")
        client.read_until("<presence")
        client.read_until(">")
        client.ping()
    client.send(f"<enable xmlns='{NS_SM}'/>")
    client.read_until(f"<enabled xmlns='{NS_SM}'/>")
    return client


def heard_afterwards(stage, server, last):
    """What Juliet gets at her next login, up to a number, and what is left behind it."""
    juliet = stage.login(server, "juliet")
    juliet.send("<presence/>")
    heard = []
    while not heard or heard[-1] < last:
        line = juliet.read_until("</message>")
        heard.append(int(re.search(r"<body>(\d+)</body>", line)[1]))
    return heard


@pytest.mark.parametrize("goal", KILLS)
def test_messages_to_who_is_away(stage, goal):
    server = stage.server(plugins=PLUGINS)
    speaker = Speaker(managed(stage, server, "romeo", presence=False), goal)
    speaker.start()
    assert speaker.reached.wait(60)
    server.process.kill()
    speaker.join()

    server.process.start()
    heard = heard_afterwards(stage, server, speaker.acknowledged - 1)
    assert heard == list(range(len(heard)))


@pytest.mark.parametrize("goal", KILLS)
def test_messages_to_who_listens_and_acknowledges(stage, goal):
    server = stage.server(plugins=PLUGINS)
    listener = Listener(managed(stage, server, "juliet"))
    listener.start()
    speaker = Speaker(managed(stage, server, "romeo", presence=False), goal)
    speaker.start()
    assert speaker.reached.wait(60)
    server.process.kill()
    speaker.join()
    listener.join()

    server.process.start()
    assert listener.heard == list(range(len(listener.heard)))
    first = len(listener.heard)
    if speaker.acknowledged > first:
        # What it had not got comes now; what it had acknowledged does not come again.
        rest = heard_afterwards(stage, server, speaker.acknowledged - 1)
        assert rest[0] <= first
        assert rest == list(range(rest[0], rest[-1] + 1))


def test_messages_to_who_has_stopped_reading(stage):
    server = stage.server(plugins=PLUGINS)
    frozen = managed(stage, server, "juliet", receive_buffer=4096)
    speaker = Speaker(managed(stage, server, "romeo", presence=False), 150)
    speaker.start()
    # It hears that they are safe, though nobody has read them: they are on disk.
    assert speaker.reached.wait(60)
    server.process.kill()
    speaker.join()
    frozen.close()

    server.process.start()
    heard = heard_afterwards(stage, server, speaker.acknowledged - 1)
    assert heard == list(range(len(heard)))


def test_what_the_receiver_has_acknowledged_does_not_come_again(stage):
    server = stage.server(plugins=PLUGINS)
    juliet = managed(stage, server, "juliet")
    romeo = managed(stage, server, "romeo", presence=False)
    for number in range(20):
        romeo.send(MESSAGE.format(number, DOMAIN))
    # Nothing is acknowledged by Juliet yet, so they have to go to the disk.
    romeo.send(REQUEST)
    romeo.read_until("h='20'/>")
    for _ in range(20):
        juliet.read_until("</message>")
    juliet.send(f"<a xmlns='{NS_SM}' h='15'/>")
    juliet.ping()
    # The next message that must be safe shares the commit with the end of the others.
    romeo.send(MESSAGE.format(20, DOMAIN) + REQUEST)
    romeo.read_until("h='21'/>")
    server.process.kill()

    server.process.start()
    assert heard_afterwards(stage, server, 20) == list(range(15, 21))
