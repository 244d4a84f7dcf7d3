"""Other servers in memory: they connect, and are connected to."""

import pytest

from stonechat.errors import StanzaError
from stonechat.stanza import Element, Iq, Message
from stonechat.testing import error_of
from stonechat.testing.remote import EXTERNAL, STARTTLS
from stonechat.testing.server_stream import certificate_of

JULIET, ROMEO = "juliet@capulet.example/balcony", "romeo@montague.example/orchard"
HARK = f"<message from='{ROMEO}' to='{JULIET}'><body>Hark!</body></message>"


@pytest.fixture
def remote(server):
    return server.remote("montague.example")


@pytest.fixture
def host(server, remote):
    return server.host("capulet.example")


@pytest.fixture
def juliet(host):
    juliet = host.connect(JULIET)
    juliet.available()
    juliet.received()
    return juliet


def test_another_server_brings_a_message(host, remote, juliet):
    remote.join(host).send(HARK)
    assert juliet.receive_message().body == "Hark!"


def test_another_server_gets_a_message(remote, juliet):
    juliet.message("romeo@montague.example", "Wherefore art thou?")
    stream = remote.admit()
    message = stream.receive_first(Message)
    assert (message.body, message.from_.text) == ("Wherefore art thou?", JULIET)
    juliet.message("romeo@montague.example", "Romeo?")
    assert stream.receive_first(Message).body == "Romeo?"


def test_a_request_goes_there_and_its_answer_comes_back(host, remote, juliet):
    juliet.send(Iq(Element("urn:example", "x"), to=host.jid, type="get", id="1"))
    juliet.received()
    juliet.send(f"<iq to='{ROMEO}' type='get' id='2'><x xmlns='urn:example'/></iq>")
    iq = remote.admit().receive_first(Iq)
    remote.join(host).send(iq.result())
    assert juliet.receive_iq().type == "result"


def test_a_server_that_nobody_knows_is_not_found(juliet):
    juliet.message("mercutio@verona.example", "Ask for me to-morrow")
    answer = juliet.receive_message()
    assert error_of(answer).condition == "remote-server-not-found"


def test_without_other_servers_there_is_no_federation(server):
    host = server.host("capulet.example")
    juliet = host.connect(JULIET)
    juliet.message("romeo@montague.example", "Romeo?")
    error = error_of(juliet.receive_message())
    assert isinstance(error, StanzaError)
    assert error.text == "This server is not federated."


def test_each_step_may_be_another_one(host, remote, juliet):
    stream = remote.connect(host, direct=False, header=False)
    assert [each.name for each in stream.open().elements] == ["starttls"]
    assert [each.name for each in stream.start_tls().elements] == ["mechanisms"]
    assert stream.authenticate("verona.example").name == "failure"
    juliet.message("romeo@montague.example", "Romeo?")
    outgoing = remote.accept()
    assert outgoing.header.attributes["from"] == "capulet.example"
    outgoing.answer(STARTTLS, id="one")
    outgoing.proceed()
    outgoing.answer(EXTERNAL, id="two")
    outgoing.accept()
    outgoing.answer(id="three")
    assert outgoing.receive_first(Message).body == "Romeo?"


@pytest.mark.parametrize(
    "options",
    [
        {"certificate": False},
        {"certificate": certificate_of("verona.example")},
        {"certificate_fault": "certificate has expired"},
    ],
)
def test_a_certificate_may_be_bad(server, options):
    remote = server.remote("montague.example", **options)
    host = server.host("capulet.example")
    assert remote.connect(host).closed_with() == "policy-violation"
    juliet = host.connect(JULIET)
    juliet.message("romeo@montague.example", "Romeo?")
    stream = remote.accept_secure(EXTERNAL)
    assert stream.is_closed
    assert error_of(juliet.receive_message()).condition == "remote-server-timeout"


def test_a_stream_that_does_not_come_is_told(server, remote, host):
    with pytest.raises(AssertionError, match="no stream to montague"):
        remote.accept(timeout=0.01)


def test_the_server_may_be_restarted(server, host, remote):
    remote.join(host)
    server.restart()
    juliet = host.connect(JULIET)
    juliet.available()
    remote.join(host).send(HARK)
    assert juliet.receive_message().body == "Hark!"
