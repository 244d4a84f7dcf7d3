"""Stanzas: heads that are rewritten around untouched octets, and trees that follow them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stonechat.errors import JIDError, StanzaError, XMLError
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_STANZA_ERRORS
from stonechat.protocol.splitter import Splitter
from stonechat.stanza import Iq, Message, Presence, Stanza
from stonechat.xml import XML_LANG, Element, parse, serialize

JULIET = JID.parse("juliet@capulet.example/balcony")
ROMEO = JID.parse("romeo@montague.example/orchard")
NURSE = JID.parse("nurse@capulet.example")

CONTEXT = b"<x xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
HEADER = (
    b"<stream:stream xmlns='jabber:client' to='capulet.example' version='1.0'"
    b" xmlns:stream='http://etherx.jabber.org/streams'>"
)
BODY = Element(NS_CLIENT, "body", None, "Hail")


def received(octets):
    """The stanza that comes out of a client's stream."""
    splitter = Splitter(100_000)
    splitter.feed(HEADER)
    (stanza,) = splitter.feed(octets)
    return stanza


# Made by us


def test_a_stanza_is_made_of_its_payload_and_its_head():
    message = Message(BODY, to=ROMEO, from_=JULIET, type="chat", id="1", lang="en")
    assert message.to_bytes() == (
        b"<message from='juliet@capulet.example/balcony' to='romeo@montague.example/orchard'"
        b" type='chat' id='1' xml:lang='en'><body>Hail</body></message>"
    )
    assert (message.to, message.from_) == (ROMEO, JULIET)
    assert (message.type, message.id, message.lang) == ("chat", "1", "en")
    assert message.children == ("jabber:client body",)
    assert message.payload is BODY


def test_what_is_left_out_is_absent_or_empty():
    presence = Presence()
    assert presence.to_bytes() == b"<presence/>"
    assert (presence.to, presence.from_) == (None, None)
    assert (presence.type, presence.id, presence.lang) == ("", "", "")
    assert (presence.children, presence.payload) == ((), None)


@pytest.mark.parametrize(
    ("name", "kind"), [("message", Message), ("presence", Presence), ("iq", Iq)]
)
def test_a_tree_is_made_a_stanza_of_its_kind(name, kind):
    stanza = Stanza.from_element(Element(NS_CLIENT, name, {"to": ROMEO.text}, BODY))
    assert type(stanza) is kind
    assert stanza.to == ROMEO
    assert stanza.children == ("jabber:client body",)


@pytest.mark.parametrize(
    "element", [Element(NS_CLIENT, "body"), Element("jabber:server", "message"), Element("", "iq")]
)
def test_a_tree_that_is_no_stanza_is_refused(element):
    with pytest.raises(ValueError, match="is not a stanza"):
        Stanza.from_element(element)


def test_stored_octets_are_made_a_stanza():
    stanza = Stanza.from_bytes(Message(BODY, to=ROMEO).to_bytes())
    assert type(stanza) is Message
    assert stanza.body == "Hail"
    with pytest.raises(XMLError):
        Stanza.from_bytes(b"<message>")
    with pytest.raises(ValueError, match="is not a stanza"):
        Stanza.from_bytes(b"<body/>")


# The head


@pytest.mark.parametrize(
    ("octets", "stamped"),
    [
        (b"<presence/>", b"<presence from='juliet@capulet.example/balcony'/>"),
        (
            b"<message to='a'><body/></message>",
            b"<message from='juliet@capulet.example/balcony' to='a'><body/></message>",
        ),
        (
            b"<iq id='1' from='juliet@capulet.example' type='get'/>",
            b"<iq from='juliet@capulet.example/balcony' id='1' type='get'/>",
        ),
        (
            b"<iq from=\"juliet@capulet.example/balcony\"  id='1'/>",
            b"<iq from=\"juliet@capulet.example/balcony\"  id='1'/>",
        ),
        (
            b"<iq\n from\t=\n'x'\r\n id = \"a'>b\"\n/>",
            b"<iq from='juliet@capulet.example/balcony' id=\"a'>b\"/>",
        ),
        (
            b"<iq xmlns:p='urn:p' p:from='x' xfrom='y' from='z'/>",
            b"<iq from='juliet@capulet.example/balcony' xmlns:p='urn:p' p:from='x' xfrom='y'/>",
        ),
    ],
)
def test_the_true_sender_is_stamped_into_the_head(octets, stamped):
    stanza = received(octets)
    stanza.stamp(JULIET)
    assert stanza.from_ is JULIET
    assert stanza.attributes["from"] == JULIET.text
    assert stanza.to_bytes() == stamped
    assert stanza.to_bytes() == stamped  # and once only


def test_the_stamp_is_escaped():
    sender = JID.parse("juliet@capulet.example/<'&\">")
    stanza = received(b"<presence/>")
    stanza.stamp(sender)
    assert received(stanza.to_bytes()).from_ == sender


def test_the_inside_stays_as_it_was_written():
    inside = b"<body a=\"&gt;'\" >it&#39;s <![CDATA[<]]></body\n><x xmlns = 'urn:x'></x>"
    stanza = received(b"<message to='a'>" + inside + b"</message >")
    stanza.stamp(JULIET)
    stanza.to = ROMEO
    stanza.from_ = NURSE
    copy = stanza.copy_for(NURSE, ROMEO)
    for octets in (stanza.to_bytes(), copy.to_bytes()):
        assert octets.endswith(b">" + inside + b"</message >")


def test_a_stanza_is_readdressed():
    stanza = received(b"<message from='a' to='b' id='1'/>")
    stanza.to = ROMEO
    stanza.from_ = NURSE
    assert (stanza.to, stanza.from_) == (ROMEO, NURSE)
    assert stanza.to_bytes() == (
        b"<message from='nurse@capulet.example' to='romeo@montague.example/orchard' id='1'/>"
    )
    stanza.to = stanza.from_ = None
    assert stanza.to_bytes() == b"<message id='1'/>"
    assert stanza.attributes == {"id": "1"}


def test_a_stamp_can_be_taken_off_again():
    stanza = received(b"<message/>")
    stanza.stamp(JULIET)
    stanza.from_ = None
    assert stanza.from_ is None
    assert stanza.to_bytes() == b"<message/>"


def test_addresses_are_parsed_when_they_are_wanted():
    stanza = received(b"<message from='a@b@c' to='@'/>")
    with pytest.raises(JIDError):
        _ = stanza.to
    with pytest.raises(JIDError):
        _ = stanza.from_


def test_a_stanza_with_a_prefix_stands_alone():
    stanza = received(b"<c:message xmlns:c='jabber:client'><c:body>Hail</c:body></c:message>")
    assert type(stanza) is Message
    stanza.stamp(JULIET)
    assert stanza.to_bytes() == (
        b"<message from='juliet@capulet.example/balcony'><body>Hail</body></message>"
    )


def test_declarations_in_the_head_stay():
    stanza = received(b"<message xmlns:p='urn:p' to='a'><p:x p:y='1'/></message>")
    stanza.stamp(JULIET)
    copy = stanza.copy_for(ROMEO)
    assert copy.children == ("urn:p x",)
    assert copy.element.first() == Element("urn:p", "x", {"urn:p y": "1"})


# The inside


def test_the_tree_is_made_when_it_is_wanted_and_is_frozen():
    stanza = received(b"<message id='1'><body>Hail</body></message>")
    assert stanza.element == Element(NS_CLIENT, "message", {"id": "1"}, BODY)
    assert stanza.element is stanza.element
    with pytest.raises(TypeError, match="edit"):
        stanza.element.append(BODY)


def test_the_tree_follows_the_head():
    stanza = received(b"<message from='a'/>")
    before = stanza.element
    stanza.stamp(JULIET)
    stanza.to = ROMEO
    assert stanza.element is before
    assert stanza.element.attributes == {"from": JULIET.text, "to": ROMEO.text}


@pytest.mark.parametrize(
    "stanza",
    [
        lambda: received(b"<message id='1'/>"),
        lambda: received(b"<message id='1'><body>x</body></message>"),
        lambda: Message(BODY, id="1"),
    ],
    ids=["empty", "received", "made"],
)
def test_what_is_written_already_is_added_like_any_other_element(stanza):
    added = Element("urn:xmpp:sid:0", "stanza-id", {"by": "a&b", "id": "7"})
    written, plain = stanza(), stanza()
    for one in (written, plain):
        one.stamp(JULIET)
    written.append_written("urn:xmpp:sid:0 stanza-id", added.to_bytes(NS_CLIENT))
    plain.append(added)
    assert written.to_bytes() == plain.to_bytes()
    assert written.children == plain.children
    assert written.find("urn:xmpp:sid:0", "stanza-id", {"by": "a&b"}).get("id") == "7"
    assert written.from_ == JULIET
    written.to = ROMEO
    assert received(written.to_bytes()).attributes == written.attributes


def test_a_child_is_looked_for_by_name():
    stanza = received(
        b"<message><x xmlns='urn:x'>1</x><y xmlns='urn:x'/><x xmlns='urn:x'>2</x></message>"
    )
    assert stanza.find("urn:x", "x").text == "1"
    assert stanza.find("urn:y", "x") is stanza.find("urn:x", "z") is None
    assert stanza.has("urn:x", "y")
    assert not stanza.has("urn:y", "y")
    assert stanza.payload.text == "1"


def test_a_child_is_looked_for_by_its_attributes():
    stanza = received(
        b"<message><x xmlns='urn:x' by='a'/><x xmlns='urn:x' by='b' n='1'/><y by='b'/></message>"
    )
    assert stanza.find("urn:x", "x", {"by": "b"}).get("n") == "1"
    assert stanza.find("urn:x", "x", {"by": "b", "n": "2"}) is None
    assert stanza.find("urn:x", "y", {"by": "b"}) is None


def test_what_a_stanza_does_not_mention_needs_no_tree():
    stanza = received(b"<iq><query xmlns='urn:x' node='1'/></iq>")
    assert stanza.mentions(b"node")
    assert not stanza.mentions(b"item")
    assert Iq(Element("urn:x", "query", {"node": "1"})).mentions(b"node")


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"<message/>", b"<message><x xmlns='urn:x'/><body>Hail</body></message>"),
        (b"<message ></message >", b"<message ><x xmlns='urn:x'/><body>Hail</body></message >"),
        (
            b"<message id='/>'>text<y xmlns=''/></message>",
            b"<message id='/>'>text<y xmlns=''/><x xmlns='urn:x'/><body>Hail</body></message>",
        ),
    ],
)
def test_payload_is_appended_to_the_octets(octets, expected):
    stanza = received(octets)
    before = stanza.element
    stanza.append(Element("urn:x", "x"), BODY)
    assert stanza.to_bytes() == expected
    assert stanza.children[-2:] == ("urn:x x", "jabber:client body")
    assert [*before.children, Element("urn:x", "x"), BODY] == list(stanza.element.children)
    stanza.stamp(JULIET)
    assert received(stanza.to_bytes()).children == stanza.children


def test_payload_is_appended_to_a_tree():
    stanza = Message(BODY)
    stanza.append(Element("urn:x", "x"))
    assert stanza.children == ("jabber:client body", "urn:x x")
    assert stanza.to_bytes() == b"<message><body>Hail</body><x xmlns='urn:x'/></message>"
    shared = Stanza.from_element(parse(b"<message/>", CONTEXT))
    shared.append(BODY)
    assert shared.to_bytes() == b"<message><body>Hail</body></message>"


def test_an_edit_changes_head_and_inside():
    stanza = received(b"<message to='a' id='1'><body>Hail</body></message>")
    stanza.stamp(JULIET)
    before = stanza.element
    with stanza.edit() as tree:
        tree.set("to", ROMEO.text)
        tree.remove(tree.first())
        tree.add("subject", "Night")
    assert stanza.to == ROMEO
    assert stanza.children == ("jabber:client subject",)
    assert received(stanza.to_bytes()).element == stanza.element
    assert before.find_text("body") == "Hail"


def test_an_edit_that_fails_changes_nothing():
    stanza = received(b"<message id='1'><body>Hail</body></message>")
    octets = stanza.to_bytes()

    def fail():
        with stanza.edit() as tree:
            tree.set("id", "2")
            tree.remove(BODY)

    with pytest.raises(ValueError, match="not a child"):
        fail()
    assert stanza.to_bytes() == octets
    assert (stanza.id, stanza.children) == ("1", ("jabber:client body",))


# Copies


def test_copies_differ_in_the_head_only():
    stanza = received(b"<message id='1' to='a'><body>Hail</body></message>")
    stanza.stamp(JULIET)
    stanza.hops = 3
    one = stanza.copy_for(ROMEO)
    two = stanza.copy_for(NURSE, ROMEO)
    assert (one.to, one.from_, one.hops) == (ROMEO, JULIET, 3)
    assert (two.to, two.from_) == (NURSE, ROMEO)
    assert stanza.attributes["to"] == "a"
    assert one.to_bytes() == (
        b"<message to='romeo@montague.example/orchard' from='juliet@capulet.example/balcony'"
        b" id='1'><body>Hail</body></message>"
    )
    assert two.element.first() == one.element.first() == BODY


def test_copies_of_a_tree_share_its_octets(monkeypatch):
    written = []

    def counted(element, default_namespace=""):
        written.append(element.name)
        return serialize(element, default_namespace)

    monkeypatch.setattr("stonechat.stanza.common.serialize", counted)
    stanza = Message(BODY, Element("urn:x", "x", {"y": ">"}), id="a>'b", type="chat")
    copies = [stanza.copy_for(to) for to in (ROMEO, NURSE, JULIET)]
    assert [received(copy.to_bytes()).to for copy in copies] == [ROMEO, NURSE, JULIET]
    assert written == ["message"]
    assert {copy.id for copy in copies} == {"a>'b"}
    assert stanza.to_bytes().endswith(b"><body>Hail</body><x xmlns='urn:x' y='&gt;'/></message>")


def test_a_copy_may_be_changed_by_itself():
    stanza = Message(BODY, id="1")
    copy = stanza.copy_for(ROMEO)
    with copy.edit() as tree:
        tree.set("id", "2")
    copy.append(Element("urn:x", "x"))
    assert stanza.to_bytes() == b"<message id='1'><body>Hail</body></message>"


# Errors


def test_an_error_goes_back_with_what_it_answers():
    stanza = received(
        b"<message from='juliet@capulet.example/balcony' to='romeo@montague.example' id='1'"
        b" type='chat' xml:lang='en'><body>Hail</body></message>"
    )
    application = Element("urn:x", "too-late")
    reply = stanza.error_reply(StanzaError("forbidden", "Begone.", application=application))
    assert type(reply) is Message
    assert reply.to_bytes() == (
        b"<message type='error' id='1' xml:lang='en' to='juliet@capulet.example/balcony'"
        b" from='romeo@montague.example'><body>Hail</body><error type='auth'>"
        b"<forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        b"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>Begone.</text>"
        b"<too-late xmlns='urn:x'/></error></message>"
    )
    assert (reply.to, reply.from_) == (JULIET, ROMEO.bare)
    assert reply.children == ("jabber:client body", "jabber:client error")


def test_an_error_may_carry_an_address_and_a_type_of_its_own():
    error = StanzaError("gone", type="modify", payload="xmpp:romeo@mantua.example")
    (element,) = Presence().error_reply(error).element.elements
    assert element.get("type") == "modify"
    assert element.find_text("gone", NS_STANZA_ERRORS) == "xmpp:romeo@mantua.example"


def test_an_error_may_carry_a_code_from_before_xmpp():
    (element,) = Presence().error_reply(StanzaError("conflict", code=409)).element.elements
    assert element.attributes == {"type": "cancel", "code": "409"}


def test_a_malformed_address_is_answered_as_it_came():
    stanza = received(b"<iq to='@' from='a@b@c' id='1' type='get'><x xmlns='urn:x'/></iq>")
    reply = stanza.error_reply(StanzaError("jid-malformed"))
    assert (reply.attributes["from"], reply.attributes["to"]) == ("@", "a@b@c")
    assert stanza.result().attributes["from"] == "@"


def test_a_stanza_without_addresses_is_answered_without():
    reply = received(b"<presence/>").error_reply(StanzaError("bad-request"))
    assert reply.attributes == {"type": "error"}


def test_a_large_stanza_is_not_sent_back_with_its_error():
    stanza = received(b"<message id='1'><body>%b</body></message>" % (b"x" * 9000))
    reply = stanza.error_reply(StanzaError("forbidden"))
    assert reply.children == ("jabber:client error",)
    assert reply.id == "1"


# Kinds


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (b"", "normal"),
        (b"type=''", "normal"),
        (b"type='normal'", "normal"),
        (b"type='chat'", "chat"),
        (b"type='groupchat'", "groupchat"),
        (b"type='headline'", "headline"),
        (b"type='error'", "error"),
        (b"type='Chat'", "normal"),
        (b"type='soliloquy'", "normal"),
    ],
)
def test_a_message_of_an_unknown_type_is_normal(written, meant):
    assert received(b"<message %b/>" % written).type == meant


def test_the_body_of_a_message_is_its_first():
    assert received(b"<message><body>a</body><body>b</body></message>").body == "a"
    assert received(b"<message><body xmlns='urn:x'>a</body></message>").body == ""
    assert Message().body == ""


@pytest.mark.parametrize(
    ("text", "priority"),
    [
        ("0", 0),
        ("1", 1),
        ("+1", 1),
        ("-1", -1),
        (" 5\n", 5),
        ("007", 7),
        ("127", 127),
        ("-128", -128),
    ],
)
def test_a_priority_is_a_number(text, priority):
    presence = received(b"<presence><priority>%b</priority></presence>" % text.encode())
    assert presence.priority == priority
    assert Presence().priority == 0


@pytest.mark.parametrize(
    "text", ["", " ", "128", "-129", "1.0", "1e2", "0x1", "one", "١", "--1", "1 1", "9" * 5000]
)
def test_what_is_no_priority_is_refused(text):
    presence = received(b"<presence><priority>%b</priority></presence>" % text.encode())
    with pytest.raises(StanzaError) as caught:
        _ = presence.priority
    assert caught.value.condition == "bad-request"


def test_how_somebody_is_available_is_said_by_show():
    assert received(b"<presence><show> away\n</show></presence>").show == "away"
    assert Presence().show == ""


@pytest.mark.parametrize(
    ("octets", "is_right"),
    [
        (b"<iq type='get' id='1'><a/></iq>", True),
        (b"<iq type='set' id='1'>text<a/></iq>", True),
        (b"<iq type='result' id='1'/>", True),
        (b"<iq type='result' id='1'><a/></iq>", True),
        (b"<iq type='error' id='1'/>", True),
        (b"<iq type='error' id='1'><a/><error type='cancel'/></iq>", True),
        (b"<iq type='get'><a/></iq>", False),
        (b"<iq type='get' id=''><a/></iq>", False),
        (b"<iq type='get' id='1'/>", False),
        (b"<iq type='get' id='1'>text</iq>", False),
        (b"<iq type='set' id='1'><a/><b/></iq>", False),
        (b"<iq type='result' id='1'><a/><b/></iq>", False),
        (b"<iq type='result'/>", False),
        (b"<iq id='1'><a/></iq>", False),
        (b"<iq type='GET' id='1'><a/></iq>", False),
    ],
)
def test_an_iq_is_checked_by_the_rules_of_rfc_6120(octets, is_right):
    iq = received(octets)
    if is_right:
        iq.check()
    else:
        with pytest.raises(StanzaError) as caught:
            iq.check()
        assert caught.value.condition == "bad-request"


def test_a_request_names_the_namespace_that_answers_it():
    iq = received(b"<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert (iq.is_request, iq.namespace) == (True, "urn:xmpp:ping")
    other = received(b"<iq type='result' id='1'><a xmlns=''/></iq>")
    assert (other.is_request, other.namespace) == (False, "")
    assert Iq().namespace == ""


@pytest.mark.parametrize("payload", [None, Element("urn:x", "x", None, "a < b"), BODY])
def test_a_result_answers_a_request(payload):
    iq = received(b"<iq type='get' id='a&lt;b' to='capulet.example'><x xmlns='urn:x'/></iq>")
    iq.stamp(JULIET)
    result = iq.result(payload)
    assert (result.to, result.from_) == (JULIET, JID.parse("capulet.example"))
    assert (result.type, result.id) == ("result", "a<b")
    assert result.payload == payload
    again = received(result.to_bytes())
    assert (again.attributes, again.children) == (result.attributes, result.children)
    assert again.element == result.element


def test_a_request_without_addresses_gets_a_result_without():
    iq = received(b"<iq type='get'><x xmlns='urn:x'/></iq>")
    assert iq.result().to_bytes() == b"<iq type='result' id=''/>"


# For logs


def test_a_summary_names_the_stanza_and_holds_no_content():
    stanza = received(
        b"<message from='juliet@capulet.example/balcony' to='romeo@montague.example' id='1'"
        b" type='chat' secret='honey'><body>poison</body><x xmlns='urn:x' y='dagger'/></message>"
    )
    assert stanza.summary() == (
        "<message type='chat' id='1' from='juliet@capulet.example/balcony'"
        " to='romeo@montague.example'> jabber:client body, urn:x x"
    )
    assert stanza.summary() in repr(stanza)


def test_a_summary_is_one_line_and_not_a_long_one():
    octets = b"<message id='%b&#10;'>%b</message>" % (b"x&#10;" * 5000, b"<a/>" * 100)
    summary = received(octets).summary()
    assert summary.isprintable()
    assert len(summary) < 1000


# Whatever is done to a stanza, its octets say what its tree says.

jids = st.sampled_from(
    [
        JULIET,
        ROMEO,
        NURSE,
        JID.parse("capulet.example"),
        JID.parse("romeo@montague.example/<&'\">"),
        JID.parse("é@capulet.example/é"),
    ]
)
values = st.sampled_from(["", "1", "a'b\"c", "<&>", "a > b", "é\U0001f339", "\t\n", "from='x'"])
payloads = st.sampled_from(
    [
        BODY,
        Element("urn:x", "x", {"urn:a y": "1", "urn:b y": "'"}, "<&>", Element("", "z")),
        Element("", "none"),
        parse(b"<frozen xmlns='urn:x'>yes</frozen>"),
        Element("urn:x", "shared").freeze(),
        Element("http://etherx.jabber.org/streams", "stream"),
    ]
)
heads = st.lists(
    st.sampled_from(
        [
            b" to='romeo@montague.example'",
            b'\n\tfrom = "juliet@capulet.example"',
            b" id='a&gt;>b/'",
            b" type = 'chat'",
            b" xml:lang='en'",
            b" xmlns:p='urn:p' p:to='x'",
            b" xmlns = 'jabber:client'",
            b" fromto='&#39;'",
        ]
    ),
    unique=True,
)
insides = st.sampled_from(
    [
        b"/>",
        b" />",
        b"></%b>",
        b"> </%b >",
        b"><body>&lt;</body></%b>",
        b"><x xmlns='urn:x' a='>'><y/></x>text<![CDATA[</message>]]></%b\n>",
        b"><stream:x/><xml:x xml:lang='en'/></%b>",
    ]
)


class Handling(RuleBasedStateMachine):
    """Does to a stanza what a router and plugins do, and to a plain tree beside it."""

    @initialize(name=st.sampled_from([b"message", b"presence", b"iq"]), head=heads, inside=insides)
    def arrive(self, name, head, inside):
        inside = inside % name if b"%b" in inside else inside
        octets = b"<" + name + b"".join(head) + inside
        self.stanza = received(octets)
        self.model = parse(octets, CONTEXT).copy()

    @rule(sender=jids)
    def stamp(self, sender):
        self.stanza.stamp(sender)
        self.model.set("from", sender.text)

    @rule(to=st.none() | jids)
    def send_elsewhere(self, to):
        self.stanza.to = to
        self.model.set("to", to and to.text)

    @rule(sender=st.none() | jids)
    def send_as(self, sender):
        self.stanza.from_ = sender
        self.model.set("from", sender and sender.text)

    @rule(payload=st.lists(payloads, max_size=2))
    def append(self, payload):
        self.stanza.append(*payload)
        self.model.append(*payload)

    @rule(value=values, payload=payloads)
    def edit(self, value, payload):
        with self.stanza.edit() as tree:
            self._change(tree, value, payload)
        self._change(self.model, value, payload)

    def _change(self, tree, value, payload):
        tree.set("id", value)
        tree.set("urn:a x", value or None)
        tree.children.insert(0, payload)

    @rule()
    def look_inside(self):
        assert self.stanza.element is self.stanza.element

    @rule(to=jids, sender=st.none() | jids)
    def copy(self, to, sender):
        before = self.stanza.to_bytes()
        copy = self.stanza.copy_for(to, sender)
        assert self.stanza.to_bytes() == before
        self.stanza = copy
        self.model.set("to", to.text)
        if sender is not None:
            self.model.set("from", sender.text)

    @rule()
    def store_and_fetch(self):
        self.stanza = Stanza.from_bytes(self.stanza.to_bytes())

    # Not after every step: what looks at the octets settles them.
    @rule()
    def compare(self):
        written = parse(self.stanza.to_bytes(), CONTEXT)
        assert written == self.model
        assert self.stanza.element == self.model
        assert list(self.stanza.children) == [e.qualified_name for e in self.model.elements]

    @invariant()
    def the_head_is_as_it_should_be(self):
        assert self.stanza.attributes == self.model.attributes
        for jid, name in ((self.stanza.to, "to"), (self.stanza.from_, "from")):
            assert (jid and jid.text) == self.model.attributes.get(name)

    def teardown(self):
        self.compare()


TestHandling = Handling.TestCase


@given(jids, jids, values)
def test_an_answer_goes_back_and_says_so_in_its_octets(sender, to, id_):
    iq = Iq(BODY, from_=sender, to=to, id=id_, type="get")
    for reply in (iq.result(BODY), iq.error_reply(StanzaError("conflict", id_))):
        again = Stanza.from_bytes(reply.to_bytes())
        assert (again.to, again.from_, again.id) == (sender, to, id_)
        assert again.element == reply.element


def test_the_language_of_a_stanza_is_that_of_its_head():
    assert received(b"<message xml:lang='it'/>").lang == "it"
    assert Message(lang="it").attributes == {XML_LANG: "it"}
