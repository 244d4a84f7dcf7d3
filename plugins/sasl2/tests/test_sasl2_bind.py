"""Bind 2 (XEP-0386), and what other plugins offer inline."""

import pytest

from stonechat import hookimpl
from stonechat.errors import StanzaError, StreamError
from stonechat.jid import JID
from stonechat.namespaces import NS_BIND, NS_STANZA_ERRORS
from stonechat.sasl import BOUND_INLINE, LOGIN_REQUEST, login_request, user_agent
from stonechat.session import InlineFeature
from stonechat.stanza import Message
from stonechat.xml import Element

NS = "urn:xmpp:sasl:2"
NS_BIND2 = "urn:xmpp:bind:0"
LAMP = "urn:example:lamp"
ROPE = "urn:example:rope"
PASSWORD = "R0m30"
JULIET = JID.parse("juliet@capulet.example")
AGENT = "d4565fa7-4d72-4749-b3d3-740edbf87770"
OTHER_AGENT = "0d9bf1a1-2a4c-4b7e-9d53-8f1f2c1a3b4c"
MESSAGE = "<message to='romeo@capulet.example'><body>Hist!</body></message>"
HERE, THERE = "192.0.2.1", "192.0.2.2"


class Chamber:
    """Offers things inline, and remembers what was asked of it."""

    def __init__(self, host, options):
        self.host = host
        self.asked = []
        self.fails = False
        self.resumes = None
        self.is_offered = True

    def offer(self, stream):
        if self.fails:
            raise LookupError("a bug")
        return Element(ROPE, "ladder") if self.is_offered else None

    def climb(self, stream, element):
        self.asked.append((stream.account, element.get("at")))
        assert login_request(stream) is None
        if self.fails:
            raise LookupError("a bug")
        if element.get("at") == "the end":
            raise StreamError("reset")
        if self.resumes is not None:
            stream.resume(self.resumes)
        return Element(ROPE, "climbed")

    def light(self, session, element):
        self.asked.append((session.jid, element.get("colour")))
        if self.fails:
            raise LookupError("a bug")
        # Before the client knows its own name.
        session.send(Message(to=session.jid, from_=JULIET, type="headline"))
        return Element(LAMP, "lit")

    def measure(self, session, element):
        assert not element.attributes
        return Element(LAMP, "oil")

    @hookimpl
    def stonechat_sasl2_features(self):
        return [InlineFeature(ROPE, "climb", self.offer, self.climb)]

    @hookimpl
    def stonechat_bind2_features(self):
        return [
            InlineFeature(LAMP, "light", lambda stream: Element(LAMP, "light"), self.light),
            InlineFeature(LAMP, "measure", lambda stream: None, self.measure, always=True),
        ]


@pytest.fixture
def host(server):
    host = server.host("capulet.example", sasl2={}, plugin_classes={"chamber": Chamber})
    host.create_account("juliet", PASSWORD)
    host.create_account("romeo", PASSWORD)
    return host


@pytest.fixture
def chamber(host):
    return host.plugin("chamber")


@pytest.fixture
def stream(host):
    return host.open_stream(tls=True)


def inline(stream):
    return stream.features.find("authentication", NS).find("inline")


def bind(content=""):
    return f"<bind xmlns='{NS_BIND2}'>{content}</bind>"


def log_in(stream, *payload, agent="", localpart="juliet"):
    success = stream.log_in_inline(localpart, PASSWORD, *payload, agent=agent)
    assert success.name == "success", success
    return success


def jid_of(success):
    return JID.parse(success.find_text("authorization-identifier"))


def bound(success):
    return success.find("bound", NS_BIND2)


# What is offered


def test_the_binding_is_offered_inline_with_what_it_can_enable(stream):
    offered = inline(stream).find("bind", NS_BIND2)
    (features,) = offered.elements
    assert features.qualified_name == f"{NS_BIND2} inline"
    assert [(f.name, f.get("var")) for f in features.elements] == [("feature", LAMP)]


def test_without_anything_to_enable_it_is_offered_alone(server):
    host = server.host("montague.example", sasl2={})
    assert inline(host.open_stream(tls=True)).find("bind", NS_BIND2).elements == []


def test_what_plugins_offer_stands_beside_it(stream):
    assert [child.qualified_name for child in inline(stream).elements] == [
        f"{ROPE} ladder",
        f"{NS_BIND2} bind",
    ]


def test_what_is_not_offered_to_a_stream_is_not_there(host, chamber):
    chamber.is_offered = False
    assert inline(host.open_stream(tls=True)).find("ladder", ROPE) is None


def test_plugins_come_and_go(host):
    host.disable("chamber")
    stream = host.open_stream(tls=True)
    assert [child.name for child in inline(stream).elements] == ["bind"]
    assert [child.name for child in bound(log_in(stream, bind())).elements] == []


# Binding


def test_a_resource_is_bound_within_the_login(host, stream):
    success = log_in(stream, bind())
    assert [child.name for child in success.elements] == ["authorization-identifier", "bound"]
    jid = jid_of(success)
    assert jid.bare == JULIET
    assert len(jid.resource) >= 12
    (session,) = host.kernel.sessions("juliet")
    assert session.jid == jid
    assert session.data[BOUND_INLINE] is True
    assert LOGIN_REQUEST not in session.data
    # Nothing is left to bind.
    assert stream.features.elements == []
    stream.send(f"<iq type='set' id='b1'><bind xmlns='{NS_BIND}'/></iq>")
    stream.received()
    assert len(host.kernel.sessions("juliet")) == 1


def test_a_resource_begins_with_the_clients_tag(stream):
    resource = jid_of(log_in(stream, bind("<tag>AwesomeXMPP</tag>"))).resource
    tag, _, name = resource.partition("/")
    assert tag == "AwesomeXMPP"
    assert len(name) >= 12


@pytest.mark.parametrize("tag", ["a\u202eb", "x" * 1020, "  "])
def test_a_tag_that_cannot_be_part_of_a_resource_is_left_away(stream, tag):
    resource = jid_of(log_in(stream, bind(f"<tag>{tag}</tag>"))).resource
    assert tag.strip() not in resource or not tag.strip()
    assert resource


def resource_of(host, tag="x", agent=AGENT, localpart="juliet"):
    stream = host.open_stream(tls=True)
    return jid_of(
        log_in(stream, bind(f"<tag>{tag}</tag>"), agent=agent, localpart=localpart)
    ).resource


def test_a_client_that_names_itself_has_the_same_resource_each_time(server, host):
    first = resource_of(host)
    assert resource_of(host) == first
    server.restart()
    assert resource_of(host) == first
    others = [
        resource_of(host, tag="y"),
        resource_of(host, agent=OTHER_AGENT),
        resource_of(host, localpart="romeo"),
    ]
    assert len({first, *others}) == 4
    assert AGENT not in first


def test_one_that_does_not_has_another_each_time(host):
    assert resource_of(host, agent="") != resource_of(host, agent="")


def test_resources_need_not_stay_the_same(server):
    host = server.host("montague.example", sasl2={"stable_resources": False})
    host.create_account("romeo", PASSWORD)
    assert resource_of(host, localpart="romeo") != resource_of(host, localpart="romeo")


def test_an_earlier_session_of_the_same_client_ends(host):
    old = host.open_stream(tls=True, address=HERE)
    first = log_in(old, bind("<tag>x</tag>"), agent=AGENT)
    other = host.open_stream(tls=True, address=HERE)
    log_in(other, bind("<tag>x</tag>"), agent=OTHER_AGENT)
    new = host.open_stream(tls=True, address=THERE)
    second = log_in(new, bind("<tag>x</tag>"), agent=AGENT)
    assert old.closed_with() == "conflict"
    assert jid_of(second) == jid_of(first)
    assert not other.is_closed
    assert len(host.kernel.sessions("juliet")) == 2


def test_it_makes_room_for_its_successor(server, host):
    server.configure(limits={"sessions_per_account": 1})
    old = host.open_stream(tls=True)
    log_in(old, bind("<tag>x</tag>"), agent=AGENT)
    new = host.open_stream(tls=True)
    assert bound(log_in(new, bind("<tag>y</tag>"), agent=AGENT)) is not None
    assert old.closed_with() == "conflict"


def test_clients_that_do_not_name_themselves_are_left_alone(host):
    old = host.open_stream(tls=True)
    log_in(old, bind())
    log_in(host.open_stream(tls=True), bind())
    assert not old.is_closed


def test_a_binding_that_is_refused_leaves_the_client_logged_in(server, host, stream):
    server.configure(limits={"sessions_per_account": 1})
    garden = host.connect("juliet@capulet.example/garden", PASSWORD)
    success = log_in(stream, bind())
    assert jid_of(success) == JULIET
    failed = success.find("failed", NS_BIND2)
    assert failed.first().qualified_name == f"{NS_STANZA_ERRORS} resource-constraint"
    assert bound(success) is None
    assert stream.features.find("bind", NS_BIND) is not None
    garden.disconnect()
    stream.send(f"<iq type='set' id='b1'><bind xmlns='{NS_BIND}'/></iq>")
    assert stream.receive().type == "result"
    assert BOUND_INLINE not in host.kernel.sessions("juliet")[0].data


def test_the_session_is_at_work_at_once(host, stream):
    romeo = host.connect("romeo@capulet.example/orchard", PASSWORD)
    romeo.available()
    success = log_in(stream, bind())
    stream.send(MESSAGE)
    assert romeo.receive_message().from_ == jid_of(success)


# Features


def test_what_is_asked_for_is_enabled_and_answered(chamber, stream):
    success = log_in(stream, bind(f"<light xmlns='{LAMP}' colour='red'/>"))
    assert [child.qualified_name for child in bound(success).elements] == [
        f"{LAMP} lit",
        f"{LAMP} oil",
    ]
    assert chamber.asked == [(jid_of(success), "red")]


def test_what_nobody_asks_for_is_not_enabled_but_what_is_always_there_is(chamber, stream):
    assert [child.name for child in bound(log_in(stream, bind())).elements] == ["oil"]
    assert chamber.asked == []


def test_what_a_session_is_sent_meanwhile_comes_behind_success_and_features(stream):
    log_in(stream, bind(f"<light xmlns='{LAMP}'/>"))
    (headline,) = stream.received()
    assert isinstance(headline, Message)


def test_what_nobody_knows_is_passed_over(chamber, stream):
    unknown = f"<fly xmlns='{LAMP}'/><light xmlns='urn:example:moon'/>"
    assert [child.name for child in bound(log_in(stream, bind(unknown))).elements] == ["oil"]


def test_what_is_asked_for_twice_is_done_once(chamber, stream):
    log_in(stream, bind(f"<light xmlns='{LAMP}'/>" * 2), f"<climb xmlns='{ROPE}' at='1'/>" * 2)
    assert len(chamber.asked) == 2


def test_inline_features_are_done_once_the_account_is_known(chamber, stream):
    wrong = stream.log_in_inline("juliet", "wrong", f"<climb xmlns='{ROPE}'/>")
    assert wrong.name == "failure"
    assert chamber.asked == []
    success = log_in(stream, f"<climb xmlns='{ROPE}' at='dusk'/>")
    assert chamber.asked == [(JULIET, "dusk")]
    assert success.find("climbed", ROPE) is not None


def test_the_binding_comes_last_wherever_it_stands(chamber, stream):
    success = log_in(
        stream, bind(f"<light xmlns='{LAMP}' colour='red'/>"), f"<climb xmlns='{ROPE}' at='dusk'/>"
    )
    assert [what for _, what in chamber.asked] == ["dusk", "red"]
    assert [child.name for child in success.elements] == [
        "authorization-identifier",
        "climbed",
        "bound",
    ]


def test_who_goes_on_with_an_earlier_session_binds_none(host, chamber, stream):
    old = host.connect("juliet@capulet.example/balcony", PASSWORD)
    session = chamber.resumes = host.kernel.session(old.jid)
    success = log_in(stream, bind(), f"<climb xmlns='{ROPE}'/>")
    assert [child.name for child in success.elements] == ["authorization-identifier", "climbed"]
    assert jid_of(success) == JULIET
    assert host.kernel.sessions("juliet") == (session,)
    assert stream.features.elements == []
    assert old.closed_with() == "conflict"


def test_a_resumption_that_fails_is_followed_by_the_binding(host, chamber, stream):
    romeo = host.connect("romeo@capulet.example/orchard", PASSWORD)
    session = host.kernel.session(romeo.jid)

    def refuse(it, element):
        with pytest.raises(StanzaError, match="item-not-found"):
            it.resume(session)
        return Element(ROPE, "fallen")

    chamber.climb = refuse
    host.kernel.hooks.version += 1
    success = log_in(stream, f"<climb xmlns='{ROPE}'/>", bind())
    assert [child.name for child in success.elements] == [
        "authorization-identifier",
        "fallen",
        "bound",
    ]
    assert session.is_connected


def test_one_plugins_fault_takes_nothing_but_its_feature(server, host, chamber):
    server.expect_errors()
    chamber.fails = True
    stream = host.open_stream(tls=True)
    assert [child.name for child in inline(stream).elements] == ["bind"]
    success = log_in(stream, bind(f"<light xmlns='{LAMP}'/>"), f"<climb xmlns='{ROPE}'/>")
    assert [child.name for child in success.elements] == ["authorization-identifier", "bound"]
    assert [child.name for child in bound(success).elements] == ["oil"]
    faults = server.logged("inline feature failed")
    assert [fault["feature"] for fault in faults] == ["climb", "climb", "light"]


def test_a_feature_may_end_the_stream(host, stream):
    stream.send(
        f"<authenticate xmlns='{NS}' mechanism='PLAIN'>"
        "<initial-response>AGp1bGlldABSMG0zMA==</initial-response>"
        f"<climb xmlns='{ROPE}' at='the end'/>{bind()}</authenticate>"
    )
    assert stream.closed_with() == "reset"
    assert host.kernel.sessions("juliet") == ()


def test_the_client_is_known_to_whoever_is_told_of_its_session(server):
    told = []

    class Listener:
        def __init__(self, host, options): ...

        @hookimpl
        def stonechat_session_bound(self, session):
            told.append((user_agent(session).id, session.data.get(BOUND_INLINE)))

    host = server.host("montague.example", sasl2={}, plugin_classes={"listener": Listener})
    host.create_account("romeo", PASSWORD)
    log_in(host.open_stream(tls=True), bind(), agent=AGENT, localpart="romeo")
    stream = host.open_stream(tls=True)
    log_in(stream, agent=OTHER_AGENT, localpart="romeo")
    stream.send(f"<iq type='set' id='b1'><bind xmlns='{NS_BIND}'/></iq>")
    assert told == [(AGENT, True), (OTHER_AGENT, None)]
