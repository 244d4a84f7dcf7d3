"""Whatever comes in on a port, nobody else feels it (R19)."""

import random
import socket

import pytest
from hostile import strangers

DOMAIN = "capulet.example"
STREAM = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
HEADER = f"{STREAM} to='{DOMAIN}' version='1.0'>"
BEFORE_LOGIN = strangers(HEADER)

# What somebody sends who has an account.
AFTER_LOGIN = {
    "a forged sender": f"<message from='juliet@{DOMAIN}' to='romeo@{DOMAIN}'/>",
    "a stanza too large": f"<message to='romeo@{DOMAIN}'><body>{'x' * 400_000}</body></message>",
    "depth": "<message>" + "<a>" * 1000,
    "a document type": "<!DOCTYPE x>",
    "an entity": "<message><body>&romeo;</body></message>",
    "no stanza": "<poison xmlns='urn:mantua'/>",
    "wrong nesting": "<message><body></message>",
    "a character that XML has not": b"<message><body>\x01</body></message>",
    "what is no UTF-8": b"<message><body>\xc3\x28</body></message>",
}


def throw(client, data):
    """Send it as far as the server takes it; returns all that it answered until the end."""
    try:
        client.send(data)
    except ConnectionError:
        pass
    return client.read_to_the_end()


def test_hostile_strangers_disturb_nobody(stage):
    server = stage.server()
    conversation = stage.conversation(server)
    for number, (what, data) in enumerate(BEFORE_LOGIN.items()):
        client = stage.connect(server, source=f"127.2.0.{number + 1}")
        answer = throw(client, data)
        assert "</stream:stream>" in answer, what
        assert "<stream:error>" in answer, what
    conversation.goes_on()
    conversation.finish()


def test_hostile_accounts_disturb_nobody(stage):
    server = stage.server()
    conversation = stage.conversation(server)
    for what, data in AFTER_LOGIN.items():
        answer = throw(stage.login(server, "nurse"), data)
        assert "<stream:error>" in answer, what
    conversation.goes_on()
    conversation.finish()


def test_hostile_input_in_small_pieces_and_never_finished_disturbs_nobody(stage):
    server = stage.server()
    conversation = stage.conversation(server)
    crowd = []
    for number, data in enumerate(BEFORE_LOGIN.values()):
        client = stage.connect(server, source=f"127.2.0.{number + 1}")
        crowd.append((client, data))
    for position in range(400):
        for client, data in crowd:
            try:
                client.send(data[position : position + 1])
            except ConnectionError:
                continue
    for client, _ in crowd:
        reset(client)
    conversation.goes_on()
    conversation.finish()
    assert "Traceback" not in server.process.log


def reset(client):
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()


def test_urgent_data_and_half_closed_connections_disturb_nobody(stage):
    server = stage.server()
    conversation = stage.conversation(server)
    client = stage.connect(server)
    client.send(HEADER)
    client.socket.send(b"!", socket.MSG_OOB)
    client.socket.shutdown(socket.SHUT_WR)
    client.read_to_the_end()
    client = stage.connect(server)
    client.socket.shutdown(socket.SHUT_RD)
    client.send(HEADER)
    client.socket.shutdown(socket.SHUT_WR)
    conversation.goes_on()
    conversation.finish()


@pytest.mark.parametrize("size", [1, 3, 100, 5000])
def test_random_changes_in_what_a_client_says_disturb_nobody(stage, size):
    server = stage.server()
    conversation = stage.conversation(server)
    numbers = random.Random(size)
    script = bytearray(
        f"{HEADER}<iq type='get' id='a' to='{DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>"
        f"<presence><show>away</show></presence><message to='romeo@{DOMAIN}'><body>O &amp; "
        f"&#x1F339;</body></message></stream:stream>",
        "utf-8",
    )
    for number in range(200):
        data = bytearray(script)
        for _ in range(numbers.randrange(1, 10)):
            data[numbers.randrange(len(data))] = numbers.randrange(256)
        client = stage.connect(server, source=f"127.2.{size % 250}.{number + 1}")
        for start in range(0, len(data), size):
            try:
                client.send(bytes(data[start : start + size]))
            except ConnectionError:
                break
        client.close()
    conversation.goes_on()
    conversation.finish()
    assert "Traceback" not in server.process.log
