"""What other plugins hear of components, and what they take over from them."""

import pytest

from stonechat import hookimpl
from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.stanza import Element, Message
from stonechat.testing import TestComponent, error_of

PUSH = "push.capulet.example"
SECRET = "What's in a name?"
JULIET = JID.parse("juliet@capulet.example/balcony")


class Listener:
    """Hears of components, and does with what they send what a test tells it to."""

    def __init__(self, host, options):
        self.host = host
        self.connected = []
        self.disconnected = []
        self.stanzas = []
        self.answer = None

    @hookimpl
    def stonechat_component_connected(self, stream):
        self.connected.append(stream)
        stream.send(Message(to=JID.parse(stream.domain), id="welcome"))

    @hookimpl
    def stonechat_component_disconnected(self, stream):
        self.disconnected.append(stream)

    @hookimpl
    def stonechat_stanza_from_component(self, stream, stanza):
        self.stanzas.append((stream, stanza))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def host(server, tmp_path):
    secret_file = tmp_path / "secret"
    secret_file.write_text(f"{SECRET}\n")
    item = {"domains": ["push.@HOST@"], "secret_file": str(secret_file), "connections": 3}
    return server.host(
        "capulet.example",
        component={"components": [item]},
        plugin_classes={"listener": Listener},
    )


@pytest.fixture
def listener(host):
    return host.plugin("listener")


@pytest.fixture
def join(host):
    return lambda: TestComponent(host, PUSH, SECRET)


@pytest.fixture
def juliet(host):
    return host.connect(JULIET)


def say(component, to=str(JULIET), **attributes):
    given = "".join(f" {name}='{value}'" for name, value in attributes.items())
    component.send(f"<message from='{PUSH}' to='{to}'{given}><body>Hark!</body></message>")


def test_plugins_hear_who_comes_and_goes(listener, join):
    component = join()
    (stream,) = listener.connected
    assert (stream.domain, stream.is_open, stream.is_admitted) == (PUSH, True, True)
    # What they send comes behind the answer to the handshake.
    assert component.receive().id == "welcome"
    assert listener.disconnected == []
    component.drop()
    assert listener.disconnected == [stream]
    assert not stream.is_open


def test_who_is_refused_is_nobody(listener, host):
    with pytest.raises(AssertionError, match="handshake was refused"):
        TestComponent(host, PUSH, "Montague")
    assert listener.connected == listener.disconnected == []


def test_plugins_see_what_components_send(listener, join, juliet):
    component = join()
    say(component)
    ((stream, stanza),) = listener.stanzas
    assert stream is listener.connected[0]
    assert (stanza.from_.text, stanza.to, stanza.body) == (PUSH, JULIET, "Hark!")
    assert juliet.receive_message().body == "Hark!"


def test_what_a_plugin_takes_goes_no_further(listener, join, juliet):
    listener.answer = True
    say(join())
    assert juliet.received() == []


def test_what_a_plugin_refuses_is_answered(listener, join, juliet):
    listener.answer = StanzaError("forbidden")
    component = join()
    component.receive()
    say(component, id="1")
    assert error_of(component.receive()).condition == "forbidden"
    say(component, type="error")
    assert component.received() == []
    assert juliet.received() == []


def test_a_plugin_that_fails_gives_no_privilege(server, listener, join, juliet):
    server.expect_errors()
    listener.answer = RuntimeError("too ill")
    say(join())
    assert juliet.receive_message().body == "Hark!"


def test_an_address_that_is_none_is_no_plugin_s_matter(listener, join):
    component = join()
    component.receive()
    say(component, to="@", id="1")
    assert error_of(component.receive()).condition == "jid-malformed"
    assert listener.stanzas == []


def test_who_is_not_the_component_says_nothing_in_its_name(listener, join):
    component = join()
    component.send(f"<message from='{JULIET}' to='{PUSH}'/>")
    assert component.closed_with() == "invalid-from"
    assert listener.stanzas == []


def test_the_service_knows_who_is_there(host, listener, join):
    service = host.kernel.service("component")
    assert service.domains == {PUSH}
    assert service.streams(PUSH) == service.streams("gateway.example") == ()
    components = [join() for _ in range(2)]
    assert service.streams(PUSH) == tuple(listener.connected)
    components[0].drop()
    assert service.streams(PUSH) == (listener.connected[1],)


def test_the_service_chooses_as_stanzas_are_shared(host, listener, join):
    components = [join() for _ in range(3)]
    for component in components:
        component.received()
    service = host.kernel.service("component")
    for number in range(20):
        sender = JID.parse(f"guest{number}@capulet.example/x")
        host.kernel.route(Message(from_=sender, to=JID.parse(PUSH), id=str(number)))
        chosen = service.choose(PUSH, sender.bare)
        got = [i for i, component in enumerate(components) if component.received()]
        assert got == [listener.connected.index(chosen)]


def test_the_service_says_why_there_is_nobody(host, listener, join):
    service = host.kernel.service("component")
    for domain in (PUSH, "gateway.example"):
        with pytest.raises(StanzaError) as refused:
            service.choose(domain, JULIET)
        assert refused.value.condition == "remote-server-timeout"
    join()
    listener.connected[0].output_stuck()
    with pytest.raises(StanzaError) as refused:
        service.choose(PUSH, JULIET)
    assert refused.value.condition == "resource-constraint"


def test_a_component_of_the_kit_asks_and_answers(host, join, juliet):
    component = join()
    component.receive()
    id_ = component.ask("get", Element("urn:example", "x"), JULIET)
    juliet.send(juliet.receive_iq().result(Element("urn:example", "y")))
    assert component.answer_to(id_).payload == Element("urn:example", "y")
    with pytest.raises(StanzaError, match="service-unavailable"):
        component.set(Element("urn:example", "x"), "capulet.example")
