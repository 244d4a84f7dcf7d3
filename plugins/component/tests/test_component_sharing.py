"""Who gets what, with streams that are made of memory."""

from collections import Counter

import pytest

from stonechat.errors import StanzaError, StreamError
from stonechat.jid import JID
from stonechat.stanza import Element, Iq, Message
from stonechat_component import Options
from stonechat_component import component as module
from stonechat_component.component import Component, ComponentStream

DOMAIN = "push.capulet.example"
AS_IT_IS = JID.parse(DOMAIN)


class StreamInMemory:
    def __init__(self):
        self.address = "198.51.100.7"
        self.domain = DOMAIN
        self.id = "3BF96D32"
        self.is_admitted = False
        self.is_open = True
        self.takes_stanzas = True
        self.sent = []

    def admit(self):
        self.is_admitted = True

    def send(self, stanza):
        self.sent.append(stanza)

    def send_element(self, element):
        self.sent.append(element)

    def close(self, error=None):
        self.is_open = False


@pytest.fixture
def secret_file(tmp_path):
    file = tmp_path / "secret"
    file.write_text("What's in a name?\n")
    return str(file)


@pytest.fixture
def host(server, secret_file):
    item = {"domains": ["push.@HOST@"], "secret_file": secret_file, "connections": 3}
    return server.host("capulet.example", component={"components": [item]})


@pytest.fixture
def component(host) -> Component:
    return host.plugin("component").components[DOMAIN]


@pytest.fixture
def join(component):
    def join():
        stream = StreamInMemory()
        component.admit(stream)
        return stream

    return join


def message(number):
    return Message(to=AS_IT_IS, from_=JID.parse(f"guest{number}@capulet.example/{number}"))


def test_the_work_is_shared_by_sender(component, join):
    streams = [join() for _ in range(3)]
    for _ in range(2):
        for number in range(60):
            component.deliver(message(number))
    assert all(len(stream.sent) > 20 for stream in streams)
    for stream in streams:
        assert set(Counter(stanza.from_.localpart for stanza in stream.sent).values()) == {2}


def test_another_resource_is_the_same_sender(component, join):
    streams = [join() for _ in range(3)]
    for resource in "abcdefgh":
        component.deliver(Message(to=AS_IT_IS, from_=JID.parse(f"j@capulet.example/{resource}")))
    assert sorted(len(stream.sent) for stream in streams) == [0, 0, 8]


def test_an_answer_goes_to_the_stream_that_asked(server, component, join):
    streams = [join() for _ in range(3)]
    juliet = JID.parse("juliet@capulet.example/balcony")
    for number, stream in enumerate(streams * 2):
        iq = Iq(Element("x", "x"), to=juliet, from_=AS_IT_IS, type="get", id=str(number))
        component.asks(iq, stream)
    for number, stream in enumerate(streams * 2):
        component.deliver(Iq(to=AS_IT_IS, from_=juliet, type="result", id=str(number)))
        assert stream.sent.pop().id == str(number)


def test_the_answer_to_one_that_is_gone_goes_to_another(component, join):
    first, second = join(), join()
    juliet = JID.parse("juliet@capulet.example/balcony")
    component.asks(Iq(to=juliet, from_=AS_IT_IS, type="get", id="1"), first)
    first.is_open = False
    component.deliver(Iq(to=AS_IT_IS, from_=juliet, type="result", id="1"))
    assert len(second.sent) == 1


def test_questions_that_nobody_answers_are_forgotten(component, join, monkeypatch):
    monkeypatch.setattr(module, "MAX_ASKED", 10)
    stream = join()
    for number in range(50):
        iq = Iq(to=JID.parse(f"guest{number}@capulet.example"), type="get", id="1")
        component.asks(iq, stream)
    assert len(component._asked) == 10


def test_a_stream_that_is_over_makes_room_for_another(component, join):
    streams = [join() for _ in range(3)]
    with pytest.raises(StreamError, match="connected already"):
        join()
    streams[0].is_open = False
    join()


def test_a_component_that_does_not_read_is_sent_nothing(component, join):
    stream = join()
    stream.takes_stanzas = False
    with pytest.raises(StanzaError) as refused:
        component.deliver(message(1))
    assert (refused.value.condition, refused.value.type) == ("resource-constraint", "wait")
    stream.takes_stanzas = True
    component.deliver(message(1))
    assert len(stream.sent) == 1


def test_without_a_stream_the_sender_is_told(host, component, join):
    juliet = host.connect("juliet@capulet.example/balcony")
    juliet.message(DOMAIN, "Hark!")
    answer = juliet.receive_message()
    assert answer.type == "error"
    assert answer.find("jabber:client", "error").get("type") == "wait"
    join().is_open = False
    with pytest.raises(StanzaError) as refused:
        juliet.get(Element("jabber:iq:version", "query"), to=DOMAIN)
    assert refused.value.condition == "remote-server-timeout"


def test_what_is_gone_is_forgotten(component, join):
    stream = join()
    ComponentStream(component, stream).ended("closed by the peer")
    assert component.streams == []


def test_the_plugin_gives_all_of_it_back(host):
    assert host.kernel.stream_acceptances.keys() == {DOMAIN}
    host.disable("component")
    assert not host.kernel.stream_acceptances
    assert host.kernel.router.owner(DOMAIN) == ""


def test_two_hosts_do_not_answer_for_one_domain(server, secret_file):
    item = {"domains": ["gateway.example"], "secret_file": secret_file}
    server.host("capulet.example", component={"components": [item]})
    server.expect_errors()
    other = server.host("montague.example")
    with pytest.raises(Exception, match="served by component already"):
        other.enable("component", {"components": [item]})


def test_the_domain_of_the_host_is_its_own(server, secret_file):
    host = server.host("capulet.example")
    server.expect_errors()
    item = {"domains": ["@HOST@"], "secret_file": secret_file}
    with pytest.raises(Exception, match="served by host capulet"):
        host.enable("component", {"components": [item]})


@pytest.mark.parametrize(
    "domains", [["a.example", "A.example"], ["push.@HOST@", "push.capulet.example"]]
)
def test_a_domain_is_there_once(secret_file, domains):
    with pytest.raises(ValueError, match="is there twice"):
        Options(components=[{"domains": domains, "secret_file": secret_file}])


def test_a_secret_must_be_there(tmp_path):
    with pytest.raises(ValueError, match="cannot read"):
        Options(components=[{"domains": ["a.example"], "secret_file": str(tmp_path / "none")}])


def test_the_domains_are_listed_where_that_is_wanted(server, secret_file):
    items = [
        {"domains": ["sms.@HOST@"], "secret_file": secret_file, "name": "Short messages"},
        {"domains": ["push.@HOST@"], "secret_file": secret_file, "listed": False},
    ]
    host = server.host("capulet.example", disco={}, component={"components": items})
    juliet = host.connect("juliet@capulet.example/balcony")
    query = Element("http://jabber.org/protocol/disco#items", "query")
    answer = juliet.get(query, to="capulet.example")
    listed = [(item.get("jid"), item.get("name")) for item in answer.payload.elements]
    assert listed == [("sms.capulet.example", "Short messages")]
