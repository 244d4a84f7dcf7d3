"""How components' streams end: with the server, with the options, and for lack of room."""

import json
import re

import pytest

GATEWAY = "gateway.capulet.example"
PUSH = "push.capulet.example"
JULIET = "juliet@capulet.example"
SECRET = "What's in a name?"


@pytest.fixture
def process(own_process):
    return own_process


def listen(process, **options):
    """Have components listened for with these options, from the next reload on."""
    document = json.loads(process.config_file.read_text())
    document["listen"][1].update(options)
    process.configure(document)
    return document


def reload(process):
    done = process.command("reload")
    assert done.returncode == 0, done.stderr


def read_long(component, end):
    """What comes up to these characters and the stanza that they are in: may be megabytes."""
    text, tail = [], ""
    while end not in tail:
        data = component.socket.recv(1 << 20).decode()
        text.append(data)
        tail = tail[-len(end) :] + data
    component.unread = tail.partition(end)[2]
    component.read("</message>")
    return "".join(text)


def test_the_stop_of_the_server_is_told_and_it_is_found_again(process, join, login):
    component, other = join(), join(PUSH)
    process.stop()
    component.ends_with("system-shutdown")
    other.ends_with("system-shutdown")
    process.start()
    component = join()
    login().send(f"<message to='{GATEWAY}'><body>Hark!</body></message>")
    component.read("Hark!")


def test_a_component_comes_back_when_its_options_change(process, join, connect):
    component = join()
    (process.directory / "gateway.secret").write_text("That which we call a rose")
    reload(process)
    component.ends_with("reset")
    component = connect()
    component.open(GATEWAY)
    component.send(f"<handshake>{component.proof()}</handshake>")
    component.ends_with("not-authorized")
    component = connect()
    component.open(GATEWAY)
    component.handshake("That which we call a rose")


def test_without_the_plugin_nobody_answers_for_its_domains(process, join, connect, login):
    component = join()
    done = process.command("plugin", "disable", "component")
    assert done.returncode == 0, done.stderr
    component.ends_with("reset")
    component = connect()
    component.open(GATEWAY)
    component.ends_with("host-unknown")
    juliet = login()
    juliet.send(f"<message to='{GATEWAY}' id='1'><body>Hark!</body></message>")
    assert "remote-server-not-found" in juliet.read("</message>")


def test_the_handshake_has_a_deadline(process, connect, join):
    listen(process, negotiation_timeout="1 s")
    reload(process)
    component, admitted = connect(), join()
    component.open(GATEWAY.replace("gateway", "sms"))
    component.ends_with("connection-timeout")
    admitted.sync()


def test_a_silent_component_is_sent_white_space(process, join):
    listen(process, idle_timeout="200 ms")
    reload(process)
    component = join()
    assert component.read("   ").isspace()
    component.sync()


def test_a_component_that_does_not_read_keeps_nobody_waiting(process, join, login):
    document = listen(process)
    process.configure({**document, "limits": {"unsent_bytes": 65536}})
    reload(process)
    component = join()
    juliet = login()
    body = "o" * 60_000
    answer = ""
    for number in range(1000):
        juliet.send(f"<message to='{GATEWAY}' id='m{number}'><body>{body}</body></message>")
        juliet.send(f"<iq type='get' id='i{number}' to='capulet.example'><q xmlns='x'/></iq>")
        answer = juliet.read(f"id='i{number}'.*?</iq>")
        if "<message" in answer:
            break
    assert "resource-constraint" in answer
    # All that was taken is there once it reads, and then it is sent more.
    refused = number
    ids = re.findall(r"id='m(\d+)'", read_long(component, f"id='m{refused - 1}'"))
    assert ids == [str(number) for number in range(refused)]
    component.sync()
    juliet.send(f"<message to='{GATEWAY}' id='again'><body>Hark!</body></message>")
    component.read("id='again'")


def test_a_port_may_go_and_its_streams_stay(process, join, peers):
    component = join()
    document = json.loads(process.config_file.read_text())
    port = document["listen"].pop()["port"]
    process.configure(document)
    reload(process)
    with pytest.raises(ConnectionRefusedError):
        process.connect(port)
    component.sync()


def test_a_listener_is_shown_as_it_is(process):
    shown = process.command("status", "--json")
    listeners = json.loads(shown.stdout)["listeners"]
    assert [(each["type"], each["tls"], each["starttls"]) for each in listeners] == [
        ("c2s", "", "off"),
        ("component", "", "off"),
    ]


def test_a_component_listens_on_this_machine_unless_told(process):
    document = listen(process)
    del document["listen"][1]["address"]
    process.config_file.write_text(json.dumps(document))
    reload(process)
    shown = json.loads(process.command("status", "--json").stdout)
    assert shown["listeners"][1]["address"] == "127.0.0.1"
