"""Elements: reading them, changing them, and which ones may be changed."""

import enum

import pytest

from stonechat.xml import XML_LANG, Element, parse, qualified_name, split_name

NS = "urn:example:balcony"
OTHER = "urn:example:orchard"

SCENE = (
    b"<scene xmlns='urn:example:balcony' act='2' xml:lang='en'>O <name>Romeo</name>, "
    b"<name xmlns='urn:example:orchard'>Montague</name><name>Romeo again</name>!</scene>"
)


@pytest.fixture
def scene():
    """One that came in, and is frozen."""
    return parse(SCENE)


@pytest.fixture
def mine(scene):
    return scene.copy()


@pytest.mark.parametrize(
    ("namespace", "name", "qualified"),
    [("urn:xmpp:ping", "ping", "urn:xmpp:ping ping"), ("", "ping", "ping")],
)
def test_a_qualified_name_is_namespace_and_name(namespace, name, qualified):
    assert qualified_name(namespace, name) == qualified
    assert split_name(qualified) == (namespace, name)
    assert Element(namespace, name).qualified_name == qualified


def test_text_is_what_stands_directly_inside(scene):
    assert scene.text == "O , !"


def test_elements_are_the_children_that_are_no_text(scene):
    assert [child.text for child in scene.elements] == ["Romeo", "Montague", "Romeo again"]


def test_attributes_are_read_by_qualified_name(scene):
    assert (scene.get("act"), scene.get("scene"), scene.get("scene", "2")) == ("2", "", "2")
    assert scene.lang == scene.get(XML_LANG) == "en"
    assert scene.elements[0].lang == ""


def test_find_looks_in_the_namespace_of_the_element_unless_told(scene):
    assert scene.find("name").text == "Romeo"
    assert scene.find("name", OTHER).text == "Montague"
    assert scene.find("name", "urn:example:none") is None
    assert [found.text for found in scene.find_all("name")] == ["Romeo", "Romeo again"]
    assert list(scene.find_all("nurse")) == []


def test_find_text_has_a_default_for_what_is_not_there(scene):
    assert scene.find_text("name", OTHER) == "Montague"
    assert scene.find_text("nurse") == ""
    assert scene.find_text("nurse", default="Angelica") == "Angelica"


def test_first_passes_over_text(scene):
    assert scene.first().text == "Romeo"
    assert Element(NS, "scene", None, "O").first() is None


def test_a_child_is_added_in_the_namespace_of_its_parent_unless_told():
    scene = Element(NS, "scene")
    assert scene.add("name", "Juliet", rank="1").qualified_name == f"{NS} name"
    scene.add("name", namespace=OTHER)
    assert scene.to_bytes() == (
        b"<scene xmlns='urn:example:balcony'><name rank='1'>Juliet</name>"
        b"<name xmlns='urn:example:orchard'/></scene>"
    )


def test_a_child_may_have_an_attribute_called_name():
    assert Element(NS, "scene").add("item", name="Juliet").get("name") == "Juliet"


def test_an_attribute_is_set_and_taken_away():
    scene = Element(NS, "scene", {"act": "1"})
    scene.set("act", "2")
    scene.set("scene", "2")
    scene.set("act", None)
    scene.set("never there", None)
    assert scene.attributes == {"scene": "2"}


def test_attributes_that_came_in_are_a_mapping_like_any_other(scene):
    assert scene.attributes == {"act": "2", XML_LANG: "en"}
    assert scene.attributes is scene.attributes
    assert scene.elements[0].attributes == {}
    assert scene.elements[0].attributes is not scene.elements[1].attributes


def test_a_copy_has_attributes_of_its_own(scene):
    one, two = scene.copy(), scene.copy()
    one.set("act", "1")
    assert scene.attributes["act"] == "2"
    assert two.copy().attributes == scene.attributes


def test_the_mapping_of_attributes_is_copied():
    given = {"act": "2"}
    Element(NS, "scene", given).set("act", "3")
    assert given == {"act": "2"}


def test_a_child_is_removed_by_identity_not_by_likeness(mine):
    twin = mine.elements[2].copy()
    mine.append(twin)
    mine.remove(twin)
    assert [child.text for child in mine.elements] == ["Romeo", "Montague", "Romeo again"]
    with pytest.raises(ValueError, match="not a child"):
        mine.remove(twin)


def test_a_copy_is_equal_and_shares_nothing(scene, mine):
    assert mine == scene
    mine.elements[0].append("!")
    mine.set("act", "3")
    assert scene == parse(SCENE)


@pytest.mark.parametrize(
    "other",
    [
        Element(OTHER, "name", {"a": "1"}, "Romeo"),
        Element(NS, "nick", {"a": "1"}, "Romeo"),
        Element(NS, "name", {"a": "2"}, "Romeo"),
        Element(NS, "name", {"a": "1"}, "Paris"),
        Element(NS, "name", {"a": "1"}),
        Element(NS, "name", {"a": "1"}, Element(NS, "Romeo")),
        "Romeo",
    ],
)
def test_elements_are_equal_only_if_all_of_them_is(other):
    romeo = Element(NS, "name", {"a": "1"}, "Romeo")
    assert romeo == Element(NS, "name", {"a": "1"}, "Romeo")
    assert romeo != other


def test_an_element_cannot_be_a_key_for_it_may_change():
    with pytest.raises(TypeError):
        hash(Element(NS, "name"))


@pytest.mark.parametrize(
    "change",
    [
        lambda element: element.set("act", "3"),
        lambda element: element.add("name"),
        lambda element: element.append("text"),
        lambda element: element.remove(element.first()),
        lambda element: element.elements[0].append("text"),
    ],
)
def test_what_came_in_is_frozen(scene, change):
    assert scene.is_frozen
    with pytest.raises(TypeError, match="copy"):
        change(scene)
    assert scene == parse(SCENE)


def test_what_we_made_is_not_frozen_until_told(mine):
    assert not mine.is_frozen
    assert mine.freeze() is mine
    assert mine.is_frozen
    with pytest.raises(TypeError):
        mine.elements[0].append("text")
    assert not mine.copy().is_frozen


@pytest.mark.parametrize(
    "frozen",
    [
        Element(NS, "scene", {"act": "2"}, Element(NS, "name"), Element("", "nick")),
        Element("", "scene", None, Element(NS, "name")),
        Element("http://etherx.jabber.org/streams", "features", None, Element("", "x")),
        Element("http://www.w3.org/XML/1998/namespace", "x", None, Element("", "x")),
    ],
)
@pytest.mark.parametrize("default", ["", NS, OTHER])
def test_a_frozen_element_looks_as_if_it_were_not(frozen, default):
    expected = frozen.copy().to_bytes(default)
    frozen.freeze()
    assert [frozen.to_bytes(default) for _ in range(2)] == [expected, expected]


def test_a_frozen_element_may_be_shared_by_several():
    payload = Element(NS, "scene", None, "Act II").freeze()
    one, two = (Element(OTHER, name, None, payload) for name in ("one", "two"))
    assert one.to_bytes() == (
        b"<one xmlns='urn:example:orchard'><scene xmlns='urn:example:balcony'>Act II</scene></one>"
    )
    assert two.elements[0] is payload


def test_a_member_of_an_enumeration_is_as_good_as_its_text():
    class Show(enum.StrEnum):
        AWAY = "away"

    show = Element("jabber:client", "show", None, Show.AWAY)
    assert show.text == "away"
    assert show.first() is None
    assert show.to_bytes("jabber:client") == b"<show>away</show>"
    assert show.copy() == show


def test_an_element_shows_itself_as_text(scene):
    assert str(scene).encode() == scene.to_bytes()
    assert repr(scene) == "<Element 'urn:example:balcony scene' with 6 children>"
