"""The router: hosts, other domains, circles, and the true sender of what a client sends."""

import pytest

from stonechat import hookimpl
from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.stanza import Message
from stonechat.testing import error_of


@pytest.fixture
def capulet(server):
    return server.host("capulet.example")


@pytest.fixture
def romeo(server, capulet):
    montague = server.host("montague.example")
    return montague.connect("romeo@montague.example/orchard")


# The host and other domains


def test_a_message_to_the_host_is_refused_where_no_plugin_takes_it(capulet, romeo):
    romeo.message("capulet.example", "Is anybody there?")
    romeo.message("capulet.example/tomb", "Is anybody there?")
    assert [error_of(m).condition for m in romeo.received()] == ["service-unavailable"] * 2


def test_presence_to_the_host_is_dropped_where_no_plugin_takes_it(capulet, romeo):
    romeo.send("<presence to='capulet.example'/>")
    romeo.send("<presence to='capulet.example' type='subscribe'/>")
    assert romeo.received() == []


def test_a_plugin_may_take_what_comes_to_the_host(server, capulet, romeo):
    taken = []

    class Announce:
        def __init__(self, host, options):
            pass

        @hookimpl
        def stonechat_stanza_to_host(self, stanza):
            taken.append(stanza.to.resource)
            return True

    capulet.enable("announce", plugin_class=Announce)
    romeo.message("capulet.example", "Hear ye")
    romeo.send("<presence to='capulet.example/all'/>")
    assert taken == ["", "all"]
    assert romeo.received() == []


@pytest.mark.parametrize(
    ("stanza", "condition"),
    [
        (
            "<message to='friar@verona.example'><body>Hist!</body></message>",
            "remote-server-not-found",
        ),
        (
            "<iq type='get' id='q1' to='verona.example'><x xmlns='u'/></iq>",
            "remote-server-not-found",
        ),
        ("<presence to='friar@verona.example' type='subscribe'/>", "remote-server-not-found"),
        ("<message to='@capulet.example'><body>Hist!</body></message>", "jid-malformed"),
        ("<iq type='get' id='q1' to='a b@capulet.example'><x xmlns='u'/></iq>", "jid-malformed"),
        ("<presence to='juliet@capulet.example/'/>", "jid-malformed"),
    ],
)
def test_what_cannot_be_sent_is_answered_with_the_reason(romeo, stanza, condition):
    romeo.send(stanza)
    (answer,) = romeo.received()
    assert error_of(answer).condition == condition
    assert f"'{answer.attributes['from']}'" in stanza


def test_an_answer_to_a_malformed_address_comes_from_that_address(romeo):
    romeo.send("<message to='@capulet.example' id='m1'><body>Hist!</body></message>")
    (answer,) = romeo.received()
    assert (answer.attributes["from"], answer.id) == ("@capulet.example", "m1")


class Mirrors:
    """Two domains, each of which sends on to the other what it gets."""

    def __init__(self, host, options):
        self.host = host
        self.passed = 0

    def start(self):
        self.host.register_route("here.example", self.to("there.example"))
        self.host.register_route("there.example", self.to("here.example"))

    def to(self, domain):
        def pass_on(stanza):
            self.passed += 1
            stanza.to = JID.parse(domain)
            self.host.route(stanza)

        return pass_on


@pytest.mark.parametrize("limit", [20, 3])
def test_a_stanza_that_runs_in_a_circle_is_stopped(server, limit):
    server.configure(limits={"max_hops": limit})
    server.expect_errors()
    host = server.host("capulet.example", plugin_classes={"mirrors": Mirrors})
    juliet = host.connect("juliet@capulet.example/balcony")
    juliet.message("here.example", "Echo")
    assert host.plugin("mirrors").passed == limit
    assert server.logged("a stanza runs in a circle")
    assert juliet.received() == []


class Wall:
    """A domain that refuses everything, errors too, and speaks for another such domain."""

    def __init__(self, host, options):
        self.host = host
        self.refused = []

    def start(self):
        self.host.register_route("wall.example", self.refuse)
        self.host.register_route("fence.example", self.refuse)

    def refuse(self, stanza):
        self.refused.append(stanza.attributes["to"])
        raise StanzaError("not-acceptable")


def test_two_that_refuse_everything_do_not_go_on_answering_each_other(capulet):
    wall = capulet.enable("wall", plugin_class=Wall)
    message = Message(to=JID.parse("wall.example"), from_=JID.parse("fence.example"))
    capulet.kernel.route(message)
    assert wall.refused == ["wall.example", "fence.example"]


# The sender (RFC 6120, 8.1.2.1)


@pytest.mark.parametrize(
    "from_",
    ["juliet@capulet.example/balcony", "juliet@capulet.example", "JULIET@Capulet.example/balcony"],
)
def test_a_client_may_write_its_own_address(capulet, romeo, from_):
    juliet = capulet.connect("juliet@capulet.example/balcony")
    romeo.available()
    juliet.send(
        f"<message from='{from_}' to='romeo@montague.example'><body>Ay me</body></message>"
    )
    assert romeo.receive_message().attributes["from"] == "juliet@capulet.example/balcony"


@pytest.mark.parametrize(
    "from_",
    [
        "romeo@montague.example",
        "juliet@capulet.example/chamber",
        "nurse@capulet.example/balcony",
        "capulet.example",
        "juliet@montague.example/balcony",
        "@@",
        "",
    ],
)
@pytest.mark.parametrize("kind", ["message", "presence", "iq"])
def test_a_client_that_writes_another_address_loses_its_stream(capulet, romeo, kind, from_):
    juliet = capulet.connect("juliet@capulet.example/balcony")
    romeo.available()
    romeo.received()
    juliet.send(
        f"<{kind} from='{from_}' to='romeo@montague.example/orchard' type='get' id='q1'>"
        f"<x xmlns='urn:x'/></{kind}><message to='romeo@montague.example'/>"
    )
    assert juliet.closed_with() == "invalid-from"
    assert romeo.received() == []
