"""The server is asked to stop: what it owes its clients, and when it may be gone (R11)."""

import signal
import socket
import threading
import time

import pytest

DOMAIN = "capulet.example"
PADDING = "x" * 8000
# 16 MB: more than any two sockets hold, and less than makes her one who does not read.
LINES = 2000
UNSENT = "64 MiB"
SHUTDOWN = "<system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"


def queue(romeo):
    """Romeo says much to the nurse; returns when the server has handled it.

    In presence: of that any number may wait, of messages only 64 (R8).
    """
    for _ in range(LINES):
        romeo.send(f"<presence to='nurse@{DOMAIN}/kitchen'><status>{PADDING}</status></presence>")
    assert "error" not in romeo.ping()


def talk(client, to):
    """Say something to somebody again and again, until the connection is closed."""
    try:
        while True:
            client.send(f"<message to='{to}' type='headline'><body>O</body></message>" * 50)
    except OSError:
        return


def is_listening(server):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", server.process.port)) == 0


def test_every_session_is_told_and_the_server_ends_well(stage):
    server = stage.server(limits={"sessions_per_account": 50})
    clients = [
        stage.login(server, localpart)
        for localpart in ("romeo", "juliet", "nurse")
        for _ in range(20)
    ]
    server.process.signal(signal.SIGTERM)
    for client in clients:
        assert client.read_to_the_end().endswith(f"{SHUTDOWN}</stream:stream>")
        client.close()
    assert server.process.wait() == 0
    assert "Traceback" not in server.process.log


def test_what_waits_for_a_slow_client_comes_before_the_end(stage):
    server = stage.server(limits={"unsent_bytes": UNSENT, "shutdown_timeout": "60 s"})
    nurse = stage.login(server, "nurse", "kitchen", receive_buffer=4096)
    romeo = stage.login(server, "romeo")
    queue(romeo)
    server.process.signal(signal.SIGTERM)
    assert SHUTDOWN in romeo.read_to_the_end()
    # All others are gone, and it still waits for her.
    assert server.process.is_running
    heard = nurse.read_to_the_end()
    assert heard.count("</presence>") == LINES
    assert heard.endswith(f"{SHUTDOWN}</stream:stream>")
    nurse.close()
    assert server.process.wait() == 0


def test_a_client_on_a_slow_line_that_talks_meanwhile_gets_all_that_waits_for_it(stage):
    server = stage.server()
    nurse = stage.login(server, "nurse", "kitchen", receive_buffer=4096)
    romeo = stage.login(server, "romeo")
    # So much that the sockets hold it all: the server itself has nothing left to send.
    for _ in range(150):
        romeo.send(f"<message to='nurse@{DOMAIN}/kitchen'><body>{PADDING}</body></message>")
    romeo.ping()
    talking = threading.Thread(target=talk, args=(nurse, f"nobody@{DOMAIN}"))
    talking.start()
    server.process.signal(signal.SIGTERM)
    heard = ""
    while data := nurse.socket.recv(4096):
        heard += data.decode()
        time.sleep(0.002)  # this is the line
    assert heard.count("</message>") == 150
    assert heard.endswith(f"{SHUTDOWN}</stream:stream>")
    nurse.close()
    talking.join()
    assert server.process.wait() == 0


def test_clients_that_go_on_talking_hear_of_the_end(stage):
    server = stage.server()
    juliet = stage.login(server, "juliet", "balcony")
    romeo = stage.login(server, "romeo")
    talking = threading.Thread(target=talk, args=(romeo, f"juliet@{DOMAIN}/balcony"))
    talking.start()
    juliet.read_until("</message>")
    server.process.signal(signal.SIGTERM)
    assert SHUTDOWN in juliet.read_to_the_end()
    assert SHUTDOWN in romeo.read_to_the_end()
    juliet.close()
    romeo.close()
    talking.join()
    assert server.process.wait() == 0


def test_nobody_comes_in_any_more(stage, wait_until):
    server = stage.server(limits={"unsent_bytes": UNSENT, "shutdown_timeout": "60 s"})
    nurse = stage.login(server, "nurse", "kitchen", receive_buffer=4096)
    queue(stage.login(server, "romeo"))
    assert is_listening(server)
    server.process.signal(signal.SIGTERM)
    wait_until(lambda: not is_listening(server), "closed port")
    assert server.process.is_running
    nurse.read_to_the_end()
    assert server.process.wait() == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_makes_haste(stage, second):
    # Without it the end would come too late for this test.
    server = stage.server(limits={"unsent_bytes": UNSENT, "shutdown_timeout": "10 min"})
    stage.login(server, "nurse", "kitchen", receive_buffer=4096)
    romeo = stage.login(server, "romeo")
    queue(romeo)
    server.process.signal(signal.SIGTERM)
    romeo.read_to_the_end()
    assert server.process.is_running
    server.process.signal(second)
    assert server.process.wait() == 0


def test_a_client_that_never_reads_holds_it_up_no_longer_than_it_is_let(stage):
    server = stage.server(limits={"unsent_bytes": UNSENT, "shutdown_timeout": "1 s"})
    stage.login(server, "nurse", "kitchen", receive_buffer=4096)
    queue(stage.login(server, "romeo"))
    assert server.process.stop() == 0


def test_strangers_and_half_sent_stanzas_hold_up_nothing(stage):
    server = stage.server(limits={"unsent_bytes": UNSENT, "shutdown_timeout": "10 min"})
    stage.connect(server).open()
    stage.connect(server)
    stage.login(server, "romeo").send("<message><body>parting is such")
    assert server.process.stop() == 0


@pytest.fixture
def wait_until(stage):
    return stage.wait_until
