"""One program with several streams for a domain, on several hosts: who gets what."""

import pytest

from stonechat.testing import LoginFailed, until

HOSTS = CAPULET, MONTAGUE = "capulet.example", "montague.example"
SECRET = "What's in a name?"
NAMES = ("abram", "balthasar", "gregory", "nurse", "paris", "peter", "sampson", "tybalt")


@pytest.fixture
def process(tmp_path, stonechat_process):
    """Each host has a gateway, which may have two streams."""
    secret_file = tmp_path / "secret"
    secret_file.write_text(SECRET)
    gateways = {
        "domains": ["gateway.@HOST@"],
        "secret_file": str(secret_file),
        "connections": 2,
    }
    process = stonechat_process(
        {
            "hosts": {host: {} for host in HOSTS},
            "listen": [{"type": "c2s", "starttls": "off"}, {"type": "component"}],
            "allow_plain_without_tls": True,
            "plugins": {"component": {"components": [gateways]}, "disco": {}, "ping": {}},
        }
    )
    process.register(*(f"{name}@{host}" for name in NAMES for host in HOSTS))
    return process


@pytest.fixture
def join(process, slixmpp):
    """A stream of a gateway's, which says who has spoken to it."""

    def join(host, number):
        component = slixmpp.component(process.ports[1], f"gateway.{host}", SECRET)

        def answer(message):
            if message["type"] == "chat":
                message.reply(f"{number}: {message['body']}").send()

        component.run(lambda: component.xmpp.add_event_handler("message", answer))
        return component

    return join


def answered_by(clients, to, text):
    """The number of the stream that has got each client's word."""
    for client in clients:
        client.say(f"sms@{to}", text)
    answers = [client.message() for client in clients]
    assert {str(answer["from"]) for answer in answers} == {f"sms@{to}"}
    numbers = []
    for answer in answers:
        number, _, rest = answer["body"].partition(": ")
        assert rest == text
        numbers.append(int(number))
    return numbers


def test_each_sender_keeps_to_one_of_the_streams_while_it_is_there(process, slixmpp, join):
    streams = [join(CAPULET, number) for number in (1, 2)]
    # Users of the other host are served as well.
    clients = [
        slixmpp.available(process, f"{name}@{host}/street") for name in NAMES for host in HOSTS
    ]
    gateway = f"gateway.{CAPULET}"
    shares = answered_by(clients, gateway, "Once")
    assert set(shares) == {1, 2}
    for text in ("Twice", "Thrice"):
        assert answered_by(clients, gateway, text) == shares
    with pytest.raises(LoginFailed, match="conflict"):
        join(CAPULET, 3)

    streams[0].close()
    until(
        lambda: [r["event"] for r in process.records].count("component disconnected") == 1,
        "the end of a stream",
    )
    assert answered_by(clients, gateway, "To the one that is left") == [2] * len(clients)
    # There is room for another one, and what it was given before is its own again.
    join(CAPULET, 1)
    assert set(answered_by(clients, gateway, "To both")) == {1, 2}


def test_an_answer_goes_to_the_stream_that_has_asked(process, slixmpp, join):
    streams = [join(CAPULET, number) for number in (1, 2)]
    juliet = slixmpp.available(process, f"nurse@{CAPULET}/street")
    for _ in range(3):
        for stream in streams:
            # It would be an error to the other one, and the time would be over for this.
            stream.call("xep_0199", "send_ping", juliet.jid, ifrom=f"sms@gateway.{CAPULET}")


def test_the_gateways_of_two_hosts_are_two_and_speak_to_each_other(process, slixmpp, join):
    ours, theirs = join(CAPULET, 1), join(MONTAGUE, 2)
    abram = slixmpp.available(process, f"abram@{MONTAGUE}/street")
    assert answered_by([abram], f"gateway.{CAPULET}", "Do you bite your thumb at us?") == [1]
    assert answered_by([abram], f"gateway.{MONTAGUE}", "I do bite my thumb.") == [2]

    from_ = f"sms@gateway.{CAPULET}"
    ours.run(
        lambda: ours.xmpp.send_message(
            mto=f"sms@gateway.{MONTAGUE}", mfrom=from_, mbody="Quarrel, sir?", mtype="normal"
        )
    )
    assert str(theirs.message("Quarrel, sir?")["from"]) == from_
