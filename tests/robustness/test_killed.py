"""The process is killed under load: what was confirmed is there afterwards (R1, R2, R3)."""

import re
import threading

import pytest

DOMAIN = "capulet.example"
ROSTER = (
    "<iq type='set' id='r{0}'><query xmlns='jabber:iq:roster'>"
    "<item jid='guest{0}@{1}'/></query></iq>"
)
ROSTER_GET = "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>"
PING = "<iq type='get' id='p{}'><ping xmlns='urn:xmpp:ping'/></iq>"
MESSAGE = "<message to='juliet@{1}' type='chat'><body>{0}</body></message>"

# Each kill comes after so many confirmations; what is under way then differs.
KILLS = [50, 120, 200]


class Witness(threading.Thread):
    """Sends as fast as it can, and notes the last number that the server has confirmed."""

    def __init__(self, client, text, pattern):
        super().__init__()
        self.client, self.text, self.pattern = client, text, re.compile(pattern)
        self.confirmed = -1
        self.reached = threading.Event()
        self.goal = 0

    def run(self):
        sender = threading.Thread(target=self.send)
        sender.start()
        tail = b""
        try:
            while data := self.client.socket.recv(65536):
                tail += data
                for number in self.pattern.findall(tail):
                    self.confirmed = max(self.confirmed, int(number))
                tail = tail[-200:]
                if self.confirmed >= self.goal:
                    self.reached.set()
        except OSError:
            pass
        sender.join()

    def send(self):
        try:
            for number in range(100_000):
                self.client.send(self.text(number))
        except OSError:
            return


def confirmed_when_killed(server, witnesses, goal):
    """Kill the server when each witness has seen so many confirmed; what each has seen then."""
    for witness in witnesses:
        witness.goal = goal
        witness.start()
    for witness in witnesses:
        assert witness.reached.wait(60)
    server.process.kill()
    for witness in witnesses:
        witness.join()
    return [witness.confirmed for witness in witnesses]


@pytest.mark.parametrize("goal", KILLS)
def test_no_confirmed_message_and_no_confirmed_contact_is_lost(stage, goal):
    server = stage.server(
        plugins={
            "ping": {},
            "roster": {"max_items": 100_000},
            "offline": {"max_messages": 1_000_000, "max_bytes": "1 GiB"},
        }
    )
    # One sender's stanzas are handled in order: a ping is answered after the
    # message before it, and that is its acknowledgement.
    speaker = Witness(
        stage.login(server, "romeo"),
        lambda number: MESSAGE.format(number, DOMAIN) + PING.format(number),
        rb"id='p(\d+)'",
    )
    host = Witness(
        stage.login(server, "nurse"),
        lambda number: ROSTER.format(number, DOMAIN),
        rb"<iq[^>]*id='r(\d+)'",
    )
    said, invited = confirmed_when_killed(server, [speaker, host], goal)

    server.process.start()
    juliet = stage.login(server, "juliet")
    juliet.send("<presence/>")
    heard = []
    while not heard or heard[-1] < said:
        line = juliet.read_until("</message>")
        heard.append(int(re.search(r"<body>(\d+)</body>", line)[1]))
    # All, in order, once; beyond what was confirmed there may be some more.
    assert heard == list(range(len(heard)))

    nurse = stage.login(server, "nurse")
    nurse.send(ROSTER_GET)
    contacts = re.findall(r"guest(\d+)@", nurse.read_until("</query>"))
    assert set(range(invited + 1)) <= {int(number) for number in contacts}
    assert len(contacts) == len(set(contacts))


def test_it_comes_up_again_after_kill_upon_kill(stage):
    server = stage.server(plugins={"ping": {}, "roster": {"max_items": 100_000}})
    for turn in range(5):
        nurse = stage.login(server, "nurse")
        witness = Witness(
            nurse,
            lambda number, turn=turn: ROSTER.format(f"{turn}00000{number}", DOMAIN),
            rb"<iq[^>]*id='r\d00000(\d+)'",
        )
        confirmed_when_killed(server, [witness], 5)
        server.process.start()
    assert "Traceback" not in server.process.log
    nurse = stage.login(server, "nurse")
    nurse.send(ROSTER_GET)
    contacts = nurse.read_until("</query>")
    for turn in range(5):
        for number in range(6):
            assert f"guest{turn}00000{number}@" in contacts
