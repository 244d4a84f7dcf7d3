"""Copies of messages: which, to whom, and that they come to an end."""

import pytest

from stonechat.errors import ConfigError
from stonechat.namespaces import NS_CLIENT, NS_DELAY, NS_FORWARD
from stonechat.plugin import HANDLED, Stage, hookimpl, stage
from stonechat.stanza import Message
from stonechat.timestamps import read

HOST, OTHER = "capulet.example", "montague.example"
LOG = "log@capulet.example"


class Services:
    """Other parts of the server: one that refuses, and a room."""

    def __init__(self, host, options) -> None:
        self.host = host
        self.arrived = []
        host.register_route(f"rooms.{host.name}", self.arrived.append)

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_message_from_user(self, session, message):
        return HANDLED if message.body == "Swallow this" else None


@pytest.fixture
def host(server):
    return server.host(HOST, service_log={"to": [LOG]}, plugin_classes={"services": Services})


@pytest.fixture
def log(host):
    log = host.connect(f"{LOG}/desk")
    log.available()
    return log


@pytest.fixture
def juliet(host):
    juliet = host.connect("juliet@capulet.example/balcony")
    juliet.available()
    return juliet


def copies(client) -> list[tuple[str, str, str, str]]:
    """Of each copy: from, to, type and body of what is in it."""
    found = []
    for item in client.received():
        if isinstance(item, Message) and item.has(NS_FORWARD, "forwarded"):
            assert item.from_.text in (HOST, OTHER)
            inner = item.find(NS_FORWARD, "forwarded").find("message", NS_CLIENT)
            found.append(
                (inner.get("from"), inner.get("to"), inner.get("type"), inner.find_text("body"))
            )
    return found


ME = "juliet@capulet.example/balcony"
NURSE = "nurse@capulet.example"
ROMEO = "romeo@montague.example"


def test_a_message_between_two_of_us_is_copied_once(host, log, juliet):
    nurse = host.connect(f"{NURSE}/house")
    nurse.available()
    juliet.message(NURSE, "What o'clock?")
    assert nurse.receive_message().body == "What o'clock?"
    assert copies(log) == [(ME, NURSE, "chat", "What o'clock?")]


def test_messages_to_and_from_others_are_copied(server, host, log, juliet):
    romeo = server.host(OTHER).connect(f"{ROMEO}/orchard")
    romeo.available()
    romeo.message("juliet@capulet.example", "She speaks")
    juliet.message(ROMEO, "Wherefore?")
    assert copies(log) == [
        (f"{ROMEO}/orchard", "juliet@capulet.example", "chat", "She speaks"),
        (ME, ROMEO, "chat", "Wherefore?"),
    ]


def test_a_copy_has_everything_and_the_time(server, host, log, juliet):
    before = host.kernel.now()
    juliet.send(
        f"<message to='{NURSE}' id='m1' type='chat' xml:lang='it'>"
        "<body>Ahi</body><x xmlns='urn:x' a='1'><y/></x></message>"
    )
    (copy,) = [item for item in log.received() if isinstance(item, Message)]
    assert copy.id
    assert copy.type == "normal"
    assert copy.to.text == LOG
    forwarded = copy.find(NS_FORWARD, "forwarded")
    assert before <= read(forwarded.find("delay", NS_DELAY).get("stamp")) <= host.kernel.now()
    inner = forwarded.find("message", NS_CLIENT)
    assert inner.get("id") == "m1"
    assert inner.lang == "it"
    assert [child.name for child in inner.elements] == ["body", "x"]
    assert inner.find("x", "urn:x").find("y") is not None


def test_a_message_to_nobody_is_to_the_own_account(log, juliet):
    juliet.send("<message type='chat'><body>Note</body></message>")
    assert copies(log) == [(ME, "juliet@capulet.example", "chat", "Note")]


def test_a_message_to_a_service_is_copied(host, log, juliet):
    juliet.message(f"verona@rooms.{HOST}", "All", type="groupchat")
    assert copies(log) == [(ME, f"verona@rooms.{HOST}", "groupchat", "All")]
    assert [stanza.body for stanza in host.plugin("services").arrived] == ["All"]


def test_what_another_plugin_has_taken_away_is_not_copied(log, juliet):
    juliet.message(NURSE, "Swallow this")
    assert copies(log) == []


def test_no_presence_and_no_request_is_copied(server, log, juliet):
    juliet.unavailable()
    juliet.send(f"<presence to='{LOG}'/>")
    juliet.send("<iq type='get' id='1' to='capulet.example'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert copies(log) == []


# Whose, and which


def test_only_some_types_are_copied(server):
    host = server.host(HOST, service_log={"to": [LOG], "types": ["chat"]})
    log = host.connect(f"{LOG}/desk")
    log.available()
    juliet = host.connect(ME)
    for kind in ("chat", "normal", "headline", "error", "groupchat"):
        juliet.message(NURSE, kind, type=kind)
    assert [body for *_, body in copies(log)] == ["chat"]


def test_errors_are_not_copied_without_being_asked_for(log, juliet):
    juliet.message(NURSE, "No", type="error")
    assert copies(log) == []


def test_only_what_is_exchanged_with_some_hosts_is_copied(server):
    host = server.host(HOST, service_log={"to": [LOG], "hosts": ["Montague.Example"]})
    log = host.connect(f"{LOG}/desk")
    log.available()
    juliet = host.connect(ME)
    juliet.available()
    romeo = server.host(OTHER).connect(f"{ROMEO}/orchard")
    romeo.available()
    juliet.message(NURSE, "Inside")
    juliet.message(ROMEO, "Out")
    romeo.message(ME, "In")
    assert [body for *_, body in copies(log)] == ["Out", "In"]


def test_everybody_who_keeps_a_log_gets_a_copy(server):
    place = f"{LOG}/archive"
    host = server.host(
        HOST,
        service_log={"to": [place, f"rooms.{HOST}"]},
        plugin_classes={"services": Services},
    )
    archive, desk = (host.connect(f"{LOG}/{name}") for name in ("archive", "desk"))
    archive.available()
    desk.available()
    host.connect(ME).message(NURSE, "Ay me")
    assert [body for *_, body in copies(archive)] == ["Ay me"]
    assert copies(desk) == []
    (arrived,) = host.plugin("services").arrived
    assert arrived.to.text == f"rooms.{HOST}"


def test_a_log_waits_for_who_keeps_it(server):
    host = server.host(HOST, service_log={"to": [LOG]}, offline={})
    host.create_account("log")
    host.connect(ME).message(NURSE, "Ay me")
    log = host.connect(f"{LOG}/desk")
    log.available()
    assert [body for *_, body in copies(log)] == ["Ay me"]


class Keeper:
    """Keeps what finds nobody, and takes its time."""

    def __init__(self, host, options) -> None:
        self.held = []

    @hookimpl
    def stonechat_message_undelivered(self, message):
        self.held.append(message.hold())
        return True


def test_a_message_is_safe_when_its_copies_are(server):
    host = server.host(
        HOST,
        service_log={"to": [LOG, "nobody@capulet.example"]},
        sm={},
        plugin_classes={"keeper": Keeper},
    )
    host.create_account("log")
    nurse = host.connect(f"{NURSE}/house")
    nurse.available()
    juliet = host.connect(ME)
    juliet.send("<enable xmlns='urn:xmpp:sm:3'/>")
    assert juliet.receive().name == "enabled"
    juliet.message(NURSE, "Ay me")
    assert nurse.receive_message().body == "Ay me"
    juliet.send("<r xmlns='urn:xmpp:sm:3'/>")
    server.clock.advance(1)
    assert juliet.receive().get("h") == "0"
    (release,) = host.plugin("keeper").held
    release()
    server.settle()
    assert juliet.receive().get("h") == "1"


# Never ending


def test_copies_are_not_copied(log, juliet):
    juliet.message(LOG, "To whom keeps the log")
    log.message("juliet@capulet.example", "From whom keeps the log")
    assert [body for *_, body in copies(log)] == [
        "To whom keeps the log",
        "From whom keeps the log",
    ]


def test_two_hosts_may_keep_each_other_s_log(server):
    capulet = server.host(HOST, service_log={"to": [f"log@{OTHER}"]})
    montague = server.host(OTHER, service_log={"to": [LOG]})
    there = montague.connect(f"log@{OTHER}/desk")
    here = capulet.connect(f"{LOG}/desk")
    there.available()
    here.available()
    juliet = capulet.connect(ME)
    juliet.message(ROMEO, "Good night")
    montague.create_account("romeo")
    juliet.message(ROMEO, "good night")
    assert [body for *_, body in copies(there)] == ["Good night", "good night"]
    # As Montague's: she is a stranger there.
    assert [body for *_, body in copies(here)] == ["Good night", "good night"]


def test_a_user_cannot_keep_a_message_out_of_the_log(server, log, juliet):
    forwarded = "<forwarded xmlns='urn:xmpp:forward:0'/>"
    juliet.send(f"<message to='{NURSE}' type='chat'><body>Hm</body>{forwarded}</message>")
    romeo = server.host(OTHER).connect(f"{ROMEO}/orchard")
    romeo.send(f"<message to='{ME}' type='chat'><body>Ha</body>{forwarded}</message>")
    assert [body for *_, body in copies(log)] == ["Hm", "Ha"]


# Faults


def test_a_log_that_nobody_takes_keeps_no_message_back(server):
    host = server.host(HOST, service_log={"to": [LOG, "log@mantua.example"]})
    juliet = host.connect(ME)
    nurse = host.connect(f"{NURSE}/house")
    nurse.available()
    for number in range(3):
        juliet.message(NURSE, f"{number}")
    assert [nurse.receive_message().body for _ in range(3)] == ["0", "1", "2"]
    assert juliet.received() == []
    warnings = server.logged("copies are not taken")
    assert sorted(warning["by"] for warning in warnings) == [LOG, "log@mantua.example"]
    assert {warning["reason"] for warning in warnings} == {
        "service-unavailable",
        "remote-server-not-found",
    }
    server.clock.advance(61)
    juliet.message(NURSE, "later")
    assert len(server.logged("copies are not taken")) == 4


def test_another_s_error_to_the_host_is_not_ours(server, log, juliet):
    juliet.send(f"<message to='{HOST}' type='error' id='1'/>")
    assert server.logged("copies are not taken") == []


@pytest.mark.parametrize(
    "options",
    [{}, {"to": []}, {"to": ["a@b@c"]}, {"to": [7]}, {"to": [LOG], "types": ["letters"]}],
)
def test_options_that_make_no_log_are_refused(server, options):
    with pytest.raises(ConfigError):
        server.host(HOST, service_log=options)
