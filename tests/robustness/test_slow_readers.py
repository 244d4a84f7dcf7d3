"""Clients that do not read what is sent to them (rule 17, R8)."""

import re
import threading

import pytest

DOMAIN = "capulet.example"
MEGABYTE = 1 << 20
# So much that the bound on octets is reached before that on stanzas.
PADDING = "x" * 32_000
LINES = 32 * MEGABYTE // len(PADDING)

# Of 200 KB each they are more than any two sockets hold, and few stanzas.
PRESENCES = 30
WITH_SPOOL = {"ping": {}, "roster": {}, "offline": {}}


class Chatterbox(threading.Thread):
    """Romeo says so many lines to somebody, and reads what is said to him meanwhile."""

    def __init__(self, romeo, to, lines):
        super().__init__()
        self.romeo, self.to, self.lines = romeo, to, lines
        self.heard = ""

    def run(self):
        reader = threading.Thread(target=self.read)
        reader.start()
        for number in range(self.lines):
            body = f"<body>{number} {PADDING}</body>"
            self.romeo.send(f"<message to='{self.to}' id='m{number}'>{body}</message>")
        self.romeo.send("<iq type='get' id='end'><ping xmlns='urn:xmpp:ping'/></iq>")
        reader.join()

    def read(self):
        self.heard = self.romeo.read_until("id='end'")


def test_a_client_that_does_not_read_costs_little_and_nobody_else_and_is_closed(stage, wait_until):
    server = stage.server()
    conversation = stage.conversation(server)
    nurse = stage.login(server, "nurse", "kitchen", receive_buffer=4096)
    # Once before, so that what the first of them needs is there already.
    speaker = stage.login(server, "romeo", "street")
    chatterbox = Chatterbox(speaker, f"romeo@{DOMAIN}/nowhere", 500)
    chatterbox.start()
    chatterbox.join()
    memory = server.memory
    chatterbox = Chatterbox(speaker, f"nurse@{DOMAIN}/kitchen", LINES)
    chatterbox.start()
    chatterbox.join()
    assert server.memory - memory < 8 * MEGABYTE
    # Each of them reached her connection, or came back.
    refused = chatterbox.heard.count("<service-unavailable")
    assert 0 < refused < LINES
    conversation.goes_on()
    # She is given some time to read, and then up.
    wait_until(lambda: f"nurse@{DOMAIN}" not in online(server), "end of the session")
    conversation.goes_on()
    conversation.finish()
    taken = nurse.read_to_the_end().count("<message")
    assert taken <= LINES - refused


def online(server):
    done = server.process.command("connected-users", "--json")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_who_reads_late_but_reads_gets_all_that_was_taken_for_him(stage):
    server = stage.server()
    nurse = stage.login(server, "nurse", "kitchen", receive_buffer=4096)
    chatterbox = Chatterbox(stage.login(server, "romeo"), f"nurse@{DOMAIN}/kitchen", 500)
    chatterbox.start()
    chatterbox.join()
    refused = chatterbox.heard.count("<service-unavailable")
    nurse.send("<iq type='get' id='mark'><ping xmlns='urn:xmpp:ping'/></iq>")
    heard = nurse.read_until("id='mark'")
    assert heard.count("</message>") == 500 - refused
    # And from now on he is sent to as everybody is.
    chatterbox = Chatterbox(stage.login(server, "romeo"), f"nurse@{DOMAIN}/kitchen", 3)
    chatterbox.start()
    for _ in range(3):
        nurse.read_until("</message>")
    chatterbox.join()


def freeze(stage, server, *, available):
    """The nurse does not read, and the server has more for her than the sockets hold."""
    nurse = stage.login(server, "nurse", "kitchen", receive_buffer=4096)
    if available:
        nurse.send("<presence/>")
        nurse.ping()
    romeo = stage.login(server, "romeo")
    status = f"<status>{'x' * 200_000}</status>"
    for _ in range(PRESENCES):
        romeo.send(f"<presence to='nurse@{DOMAIN}/kitchen'>{status}</presence>")
    assert "error" not in romeo.ping()
    return nurse, romeo


def tell(romeo, type_, numbers):
    for number in numbers:
        romeo.send(
            f"<message to='nurse@{DOMAIN}/kitchen' type='{type_}'><body>{number}</body></message>"
        )
    assert "error" not in romeo.ping()


def told(text):
    return [int(number) for number in re.findall(r"<body>(\d+)</body>", text)]


@pytest.mark.parametrize("type_", ["normal", "chat"])
def test_64_messages_wait_for_who_is_frozen_and_the_others_for_the_next_login(stage, type_):
    server = stage.server(plugins=WITH_SPOOL, limits={"unsent_bytes": "64 MiB"})
    nurse, romeo = freeze(stage, server, available=False)
    tell(romeo, type_, range(200))
    done = server.process.command("offline-count", f"nurse@{DOMAIN}")
    queued = 200 - int(done.stdout)
    # Some of the presence waits with them.
    assert 64 - PRESENCES <= queued <= 64
    # She thaws, and gets what waited for her; from then on messages come directly again.
    first = told(nurse.ping())
    assert first == list(range(queued))
    tell(romeo, type_, [200])
    assert told(nurse.ping("again")) == [200]
    nurse.close()
    nurse = stage.login(server, "nurse", "hall")
    nurse.send("<presence/>")
    rest = told(nurse.read_until("<body>199</body>") + nurse.ping())
    assert rest == list(range(queued, 200))
    nurse.close()
    nurse = stage.login(server, "nurse", "hall")
    nurse.send("<presence/>")
    assert told(nurse.ping()) == []


def test_who_thaws_and_is_available_gets_all_messages_once_and_in_order(stage):
    server = stage.server(plugins=WITH_SPOOL, limits={"unsent_bytes": "64 MiB"})
    nurse, romeo = freeze(stage, server, available=True)
    tell(romeo, "chat", range(200))
    heard = nurse.read_until("<body>199</body>") + nurse.ping()
    assert told(heard) == list(range(200))


def test_who_asks_without_reading_the_answers_is_not_read_either(stage):
    server = stage.server(limits={"unsent_bytes": "64 KiB"})
    nurse = stage.login(server, "nurse", "kitchen", receive_buffer=4096)
    conversation = stage.conversation(server)
    memory = server.memory
    request = "<iq type='get' id='{}'><ping xmlns='urn:xmpp:ping'/></iq>"
    questions = "".join(request.format(number) for number in range(200_000)).encode()
    asking = threading.Thread(target=nurse.send, args=(questions,))
    asking.start()
    asking.join(3)
    assert asking.is_alive()  # the server has stopped taking them
    assert server.memory - memory < 8 * MEGABYTE
    conversation.goes_on()
    conversation.finish()
    # She is no enemy: as soon as she reads it goes on, and each gets its answer.
    nurse.read_until("id='199999'")
    asking.join()


@pytest.fixture
def wait_until(stage):
    return stage.wait_until
