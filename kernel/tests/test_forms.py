"""XEP-0004, and what XEP-0068 and XEP-0122 add to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.errors import StanzaError
from stonechat.forms import (
    FIELD_TYPES,
    NS_DATA_FORM,
    NS_VALIDATE,
    Field,
    Form,
    Option,
    find_form,
    report,
)
from stonechat.jid import JID
from stonechat.xml import Element, parse

BOT = b"""
<x xmlns='jabber:x:data' type='form'>
  <title>Bot Configuration</title>
  <instructions>Fill out this form</instructions>
  <instructions>to configure your new bot!</instructions>
  <field type='hidden' var='FORM_TYPE'><value>jabber:bot</value></field>
  <field type='fixed'><value>Section 1: Bot Info</value></field>
  <field type='text-single' label='The name of your bot' var='botname'/>
  <field type='text-multi' label='Helpful description of your bot' var='description'/>
  <field type='boolean' label='Public bot?' var='public'><required/></field>
  <field type='fixed'><value>Section 2: Features</value></field>
  <field type='list-multi' label='What features will the bot support?' var='features'>
    <option label='Contests'><value>contests</value></option>
    <option><value>news</value></option>
    <value>news</value>
    <value>contests</value>
  </field>
  <field type='jid-multi' label='People to invite' var='invitelist'>
    <desc>Tell all your friends about your new bot!</desc>
  </field>
</x>
"""


def form_of(inside, kind="submit", **wanted):
    return Form.read(
        parse(f"<x xmlns='jabber:x:data' type='{kind}'>{inside}</x>".encode()), **wanted
    )


def submitted(*values, var="field"):
    return Form("submit", fields=[Field(var, values=values)])


def refused(condition, function, *arguments, **keywords):
    with pytest.raises(StanzaError) as caught:
        function(*arguments, **keywords)
    assert caught.value.condition == condition


# Reading


def test_reads_what_is_asked():
    form = Form.read(parse(BOT))
    assert form.type == "form"
    assert form.form_type == "jabber:bot"
    assert form.title == "Bot Configuration"
    assert form.instructions == "Fill out this form\nto configure your new bot!"
    assert form.fields == (
        Field("", "fixed", values="Section 1: Bot Info"),
        Field("botname", label="The name of your bot"),
        Field("description", "text-multi", "Helpful description of your bot"),
        Field("public", "boolean", "Public bot?", required=True),
        Field("", "fixed", values="Section 2: Features"),
        Field(
            "features",
            "list-multi",
            "What features will the bot support?",
            ("news", "contests"),
            (Option("contests", "Contests"), Option("news")),
        ),
        Field(
            "invitelist",
            "jid-multi",
            "People to invite",
            desc="Tell all your friends about your new bot!",
        ),
    )


def test_finds_a_form_in_a_payload():
    form = Element(NS_DATA_FORM, "x", {"type": "submit"})
    assert find_form(Element("urn:q", "query", None, Element("urn:q", "x"), form)) is form
    assert find_form(Element("urn:q", "query")) is None


def test_a_field_without_a_type_is_a_line_of_text():
    assert form_of("<field var='a'/>", "form").fields == (Field("a", "text-single"),)


def test_a_field_of_an_unknown_type_is_a_line_of_text():
    assert form_of("<field var='a' type='color'/>", "form").fields == (Field("a", "text-single"),)


def test_a_submission_need_not_name_the_types():
    form = form_of("<field var='a'><value>1</value><value>2</value></field>")
    assert form.values("a") == ("1", "2")


@pytest.mark.parametrize(
    "element",
    [
        Element(NS_DATA_FORM, "y", {"type": "submit"}),
        Element("urn:other", "x", {"type": "submit"}),
        Element(NS_DATA_FORM, "x"),
        Element(NS_DATA_FORM, "x", {"type": "error"}),
        Element(NS_DATA_FORM, "x", {"type": "SUBMIT"}),
    ],
)
def test_refuses_what_is_no_form(element):
    refused("bad-request", Form.read, element)


@pytest.mark.parametrize(
    "inside",
    [
        "<field/>",
        "<field type='text-single'><value>a</value></field>",
        "<field var='a'/><field var='a'/>",
        "<field var='FORM_TYPE'/><field var='FORM_TYPE'/>",
        "<field var='a' type='boolean'><value>1</value><value>0</value></field>",
        "<field var='a' type='text-single'><value>1</value><value>0</value></field>",
        "<field var='a' type='list-single'><option/></field>",
        "<field var='a' type='fixed'><option><value>1</value><value>2</value></option></field>",
    ],
)
@pytest.mark.parametrize("type", ["form", "submit"])
def test_refuses_a_malformed_form(inside, type):
    refused("bad-request", form_of, inside, type)


def test_refuses_a_form_of_another_type():
    refused("bad-request", form_of, "", "cancel", type="submit")
    refused("bad-request", form_of, "", "result", type="submit")
    assert form_of("", "submit", type="submit").type == "submit"


def test_refuses_too_many_fields_and_values():
    def form(fields, values=0, options=0):
        inside = "".join(f"<field var='f{number}'/>" for number in range(fields - 1))
        inside += f"<field var='a'>{'<value/>' * values}"
        inside += f"{'<option><value/></option>' * options}</field>"
        return form_of(inside)

    assert len(form(500).fields) == 500
    refused("bad-request", form, 501)
    assert len(form(2, 1000).values("a")) == 1000
    refused("bad-request", form, 2, 1001)
    refused("bad-request", form, 2, 0, 1001)
    refused("bad-request", form, 2, 501, 500)


# FORM_TYPE


def test_a_form_may_name_its_type_or_not():
    inside = "<field var='FORM_TYPE'><value>jabber:bot</value></field>"
    assert form_of(inside, form_type="jabber:bot").form_type == "jabber:bot"
    assert form_of(inside).form_type == "jabber:bot"
    assert form_of("", form_type="jabber:bot").form_type == ""


def test_refuses_a_form_for_something_else():
    inside = "<field var='FORM_TYPE' type='hidden'><value>jabber:bot</value></field>"
    refused("not-acceptable", form_of, inside, form_type="jabber:iq:search")


@pytest.mark.parametrize("type", ["form", "result"])
def test_a_form_type_that_is_not_hidden_is_a_field_like_others(type):
    inside = "<field var='FORM_TYPE' type='text-single'><value>jabber:bot</value></field>"
    form = form_of(inside, type, form_type="jabber:iq:search")
    assert form.form_type == ""
    assert form.get("FORM_TYPE") == "jabber:bot"


# What was filled in


def test_a_field_has_a_value_or_is_empty_or_is_not_there():
    form = form_of("<field var='a'><value>1</value></field><field var='b'/>")
    assert (form.get("a"), form.get("b", "x"), form.get("c", "x")) == ("1", "", "x")
    assert ("a" in form, "b" in form, "c" in form) == (True, True, False)
    assert (form.values("a"), form.values("b"), form.values("c")) == (("1",), (), ())


def test_a_field_without_a_name_is_not_found():
    form = form_of("<field type='fixed'><value>Section</value></field>")
    assert "" not in form
    assert form.get("") == ""


def test_the_lines_of_a_text_are_one_text():
    form = submitted("But, soft!", "", "what light")
    assert form.text("field") == "But, soft!\n\nwhat light"
    assert form.text("other", "none") == "none"


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("true", True), (" true\n", True), ("0", False), ("false", False)],
)
def test_reads_a_boolean(text, value):
    assert submitted(text).boolean("field", not value) is value


@pytest.mark.parametrize("text", ["yes", "TRUE", "2", "truefalse", "１"])
def test_refuses_what_is_no_boolean(text):
    refused("bad-request", submitted(text).boolean, "field")


@pytest.mark.parametrize("form", [Form("submit"), submitted(), submitted(""), submitted(" ")])
def test_an_empty_field_has_the_value_that_holds_without_it(form):
    assert form.boolean("field") is False
    assert form.boolean("field", True) is True
    assert form.integer("field") is None
    assert form.integer("field", 7, minimum=1, maximum=5) == 7
    assert form.choice("field", ["a"], "b") == "b"
    assert form.jids("field") == ()


@pytest.mark.parametrize(("text", "number"), [("20", 20), ("-3", -3), ("+007", 7), (" 1 ", 1)])
def test_reads_an_integer(text, number):
    assert submitted(text).integer("field") == number


@pytest.mark.parametrize(
    "text", ["ten", "1.0", "1e3", "0x10", "1_000", "٣", "1 0", "9" * 19, "9" * 9999]
)
def test_refuses_what_is_no_integer(text):
    refused("bad-request", submitted(text).integer, "field")


def test_an_integer_has_bounds():
    form = submitted("20")
    assert form.integer("field", minimum=20, maximum=20) == 20
    refused("not-acceptable", form.integer, "field", minimum=21)
    refused("not-acceptable", form.integer, "field", maximum=19)


def test_reads_addresses_each_once_and_in_order():
    form = submitted(
        "romeo@montague.example", "", "JULIET@capulet.example", "juliet@capulet.example "
    )
    assert form.jids("field") == (
        JID.parse("romeo@montague.example"),
        JID.parse("juliet@capulet.example"),
    )


def test_refuses_what_is_no_address():
    refused("not-acceptable", submitted("@montague.example").jids, "field")


def test_only_what_was_offered_can_be_chosen():
    assert submitted("open").choice("field", ["open", "authorize"]) == "open"
    refused("not-acceptable", submitted("shut").choice, "field", ["open", "authorize"])


def test_a_field_with_one_value_has_one():
    form = submitted("1", "0")
    refused("bad-request", form.boolean, "field")
    refused("bad-request", form.integer, "field")
    refused("bad-request", form.choice, "field", ["1", "0"])


# Writing


def test_writes_a_form():
    form = Form(
        "form",
        "jabber:bot",
        "Bot\nConfiguration",
        "Fill out this form\r\nto configure your new bot!",
        [
            Field("", "fixed", values=["Section 1"]),
            Field("description", "text-multi", values="First\nSecond", desc="What\nfor"),
            Field("features", "list-multi", options=["news", ("contests", "Contests")]),
            Field("public", "boolean", "Public bot?", values="1", required=True),
        ],
    )
    assert form.to_element() == parse(
        b"<x xmlns='jabber:x:data' type='form'>"
        b"<title>Bot Configuration</title>"
        b"<instructions>Fill out this form</instructions>"
        b"<instructions>to configure your new bot!</instructions>"
        b"<field var='FORM_TYPE' type='hidden'><value>jabber:bot</value></field>"
        b"<field type='fixed'><value>Section 1</value></field>"
        b"<field var='description' type='text-multi'><desc>What for</desc>"
        b"<value>First</value><value>Second</value></field>"
        b"<field var='features' type='list-multi'>"
        b"<option><value>news</value></option>"
        b"<option label='Contests'><value>contests</value></option></field>"
        b"<field var='public' type='boolean' label='Public bot?'><required/>"
        b"<value>1</value></field></x>"
    )


def test_writes_a_submission_without_types():
    form = Form("submit", "jabber:bot", fields=[Field("public", "boolean", values="1")])
    assert form.to_element() == parse(
        b"<x xmlns='jabber:x:data' type='submit'>"
        b"<field var='FORM_TYPE' type='hidden'><value>jabber:bot</value></field>"
        b"<field var='public'><value>1</value></field></x>"
    )


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        (
            Field("a", datatype="xs:dateTime"),
            "<validate datatype='xs:dateTime'><basic/></validate>",
        ),
        (
            Field("a", minimum="1", maximum="9"),
            "<validate datatype='xs:integer'><range min='1' max='9'/></validate>",
        ),
        (
            Field("a", datatype="xs:decimal", maximum="9"),
            "<validate datatype='xs:decimal'><range max='9'/></validate>",
        ),
        (
            Field("a", "list-single", open=True),
            "<validate datatype='xs:string'><open/></validate>",
        ),
    ],
)
def test_writes_hints_on_what_may_be_filled_in(field, hint):
    expected = parse(hint.replace("<validate", f"<validate xmlns='{NS_VALIDATE}'").encode())
    assert field.to_element().find("validate", NS_VALIDATE) == expected


def test_a_form_has_one_of_four_types():
    with pytest.raises(ValueError, match="error"):
        Form("error")


def test_writes_a_table():
    columns = [
        Field("name", label="Name"),
        Field("jid", "jid-single"),
        Field("tags", "list-multi"),
    ]
    rows = [{"name": "Juliet", "tags": ["capulet", "heir"]}, {"jid": "romeo@montague.example"}]
    assert report(columns, rows, title="Verona", form_type="jabber:iq:search") == parse(
        b"<x xmlns='jabber:x:data' type='result'><title>Verona</title>"
        b"<field var='FORM_TYPE' type='hidden'><value>jabber:iq:search</value></field>"
        b"<reported><field var='name' type='text-single' label='Name'/>"
        b"<field var='jid' type='jid-single'/><field var='tags' type='list-multi'/></reported>"
        b"<item><field var='name'><value>Juliet</value></field>"
        b"<field var='jid'><value/></field>"
        b"<field var='tags'><value>capulet</value><value>heir</value></field></item>"
        b"<item><field var='name'><value/></field>"
        b"<field var='jid'><value>romeo@montague.example</value></field>"
        b"<field var='tags'><value/></field></item></x>"
    )


def test_a_table_may_be_empty():
    assert [e.name for e in report([Field("name")], []).elements] == ["reported"]


# For all forms

TEXT = st.text(st.characters(exclude_categories=["C"], include_characters="\t"))
NAMES = TEXT.filter(lambda name: name and name != "FORM_TYPE")
VALUES = st.lists(TEXT, max_size=3)
FIELDS = st.builds(
    Field,
    NAMES,
    st.sampled_from(["hidden", "jid-multi", "list-multi", "text-multi"]),
    label=TEXT,
    values=VALUES,
    options=st.lists(st.tuples(TEXT, TEXT), max_size=3),
    required=st.booleans(),
    desc=TEXT,
) | st.builds(
    Field,
    NAMES,
    st.sampled_from(sorted(FIELD_TYPES)),
    values=st.lists(TEXT, max_size=1),
)
FORMS = st.builds(
    Form,
    st.sampled_from(["form", "result"]),
    TEXT,
    TEXT,
    st.lists(TEXT.filter(bool), max_size=3).map("\n".join),
    st.lists(FIELDS, max_size=5, unique_by=lambda field: field.var),
)


@given(FORMS)
def test_what_is_written_is_read_again(form):
    assert Form.read(parse(form.to_element().to_bytes())) == form


ANY_NAME = st.sampled_from(
    ["x", "field", "value", "option", "required", "reported", "item", "title"]
)
ANY_TYPE = st.sampled_from(["form", "submit", "cancel", "result", *sorted(FIELD_TYPES), "", "?"])
ANY_TEXT = st.text(max_size=5) | st.sampled_from(["0", "true", "-1", "@", "a@b.example"])
ANYTHING = st.recursive(
    ANY_TEXT,
    lambda inside: st.builds(
        lambda name, type, var, children: Element(
            NS_DATA_FORM, name, {"type": type, "var": var}, *children
        ),
        ANY_NAME,
        ANY_TYPE,
        st.sampled_from(["FORM_TYPE", "a", "b", ""]),
        st.lists(inside, max_size=5),
    ),
)


@given(st.lists(ANYTHING, max_size=5), ANY_TYPE, st.sampled_from(["", "a"]))
def test_no_form_does_worse_than_a_stanza_error(children, type, form_type):
    element = Element(NS_DATA_FORM, "x", {"type": type}, *children)
    try:
        form = Form.read(element, form_type=form_type)
    except StanzaError:
        return
    for ask in (form.boolean, form.integer, form.jids, lambda var: form.choice(var, ["0"])):
        try:
            ask("a")
        except StanzaError:
            pass
    form.to_element()
