"""The users directory: whom a search finds in LDAP, and what no search may do."""

import pytest

from stonechat.errors import StanzaError
from stonechat.forms import Form, find_form
from stonechat.stanza import Element

HOST = "capulet.example"
VJUD = f"vjud.{HOST}"
NS_SEARCH = "jabber:iq:search"


@pytest.fixture
def romeo(capulet, login, verona):
    return login(capulet(verona, disco={}), "romeo")


@pytest.fixture
def people(capulet, login, verona):
    """Somebody who searches, with other options."""
    return lambda **options: login(capulet(verona, options), "romeo")


def search(client, **wanted):
    """Who is found, by the elements of the namespace."""
    query = Element(NS_SEARCH, "query")
    for name, text in wanted.items():
        query.add(name, text)
    answer = client.set(query, to=VJUD).payload
    return [item.get("jid").partition("@")[0] for item in answer.find_all("item")]


def search_form(client, **wanted):
    """The rows of a table, by a data form."""
    query = Element(NS_SEARCH, "query")
    form = Element("jabber:x:data", "x", {"type": "submit"})
    for var, text in {"FORM_TYPE": NS_SEARCH, **wanted}.items():
        form.add("field", var=var).add("value", text)
    query.append(form)
    table = find_form(client.set(query, to=VJUD).payload)
    if table is None:
        return []
    return [
        {field.get("var"): field.find_text("value") for field in item.find_all("field")}
        for item in table.find_all("item")
    ]


def refused(call, *arguments, **options):
    with pytest.raises(StanzaError) as caught:
        call(*arguments, **options)
    return caught.value.condition


def test_the_directory_is_found_and_says_what_can_be_asked(romeo):
    items = romeo.get(Element("http://jabber.org/protocol/disco#items", "query"), to=HOST).payload
    assert VJUD in [item.get("jid") for item in items.elements]
    info = romeo.get(Element("http://jabber.org/protocol/disco#info", "query"), to=VJUD).payload
    assert info.find("identity").get("category") == "directory"
    assert NS_SEARCH in [feature.get("var") for feature in info.find_all("feature")]
    answer = romeo.get(Element(NS_SEARCH, "query"), to=VJUD).payload
    names = {child.name for child in answer.elements}
    assert names == {"instructions", "first", "last", "nick", "email", "x"}
    form = Form.read(find_form(answer), form_type=NS_SEARCH, type="form")
    # The birthday is not among what is known.
    assert [field.var for field in form.fields if field.var != "FORM_TYPE"] == [
        *("first", "last", "nick", "email", "fn", "middle"),
        *("ctry", "locality", "orgname", "orgunit"),
    ]


def test_people_are_found_by_what_the_directory_knows(romeo):
    assert search(romeo, last="capulet") == ["juliet"]
    assert search(romeo, email="romeo@mail.capulet.example") == ["romeo"]
    assert search(romeo, nick="nurse") == ["nurse"]
    assert search(romeo, first="Romeo", last="Capulet") == []
    assert search(romeo, last="  Capulet ", first="") == ["juliet"]
    (row,) = search_form(romeo, fn="juliet capulet")
    assert row["jid"] == f"juliet@{HOST}"
    assert row["fn"] == "Juliet of the House of Capulet"
    assert row["nick"] == "juliet"
    assert row["locality"] == "Verona"
    assert search_form(romeo, fn="nobody") == []


def test_an_asterisk_stands_for_an_end_and_for_nothing_else(romeo):
    assert search(romeo, last="cap*") == ["juliet"]
    assert search(romeo, email="*mail*") == []
    assert search(romeo, nick="*omeo") == []
    assert search(romeo, nick="ro**") == ["romeo"]


def test_asterisks_stand_for_anything_where_the_administrator_lets_them(people):
    romeo = people(wildcards="anywhere")
    assert search(romeo, email="*@mail.capulet*") == ["juliet", "nurse", "romeo"]
    assert search(romeo, nick="*u*e*") == ["juliet", "nurse"]
    assert refused(search, romeo, nick="a*b*c*d*") == "not-acceptable"


def test_asterisks_are_stars_where_he_does_not(people):
    romeo = people(wildcards="off")
    assert search(romeo, last="cap*") == []
    assert search(romeo, last="Capulet") == ["juliet"]


@pytest.mark.parametrize(
    "text",
    [
        "*)(uid=*",
        "Capulet)(|(uid=*",
        "x)(!(uid=x",
        "Capulet\\",
        "\\2a",
        "Capule\\74",
        ")",
        "Капулетти)(uid=*",
    ],
)
def test_nothing_that_is_searched_for_is_taken_for_a_filter(people, text):
    romeo = people(wildcards="anywhere")
    assert search(romeo, last=text) == []
    assert search(romeo, nick=text) == []


def test_to_search_for_nothing_is_refused_unless_all_may_be_found(romeo):
    assert refused(search, romeo) == "not-acceptable"
    assert refused(search, romeo, last=" ") == "not-acceptable"
    assert refused(search, romeo, last="*") == "not-acceptable"
    assert refused(search, romeo, last="x" * 256) == "not-acceptable"


def test_all_may_be_found_and_not_too_many(people):
    assert len(search(people(return_all=True, matches=2))) == 2


def test_all_may_be_found(people):
    assert search(people(return_all=True)) == ["juliet", "nurse", "romeo"]


def test_strangers_find_nobody(server, login, verona, options_for):
    server.configure(auth=["ldap"], auth_options={"ldap": options_for(verona)})
    server.host(HOST, vcard_ldap={})
    paris = login(server.host("montague.example"), "nurse", domain="montague.example")
    assert refused(search, paris, last="Capulet") == "forbidden"


def test_strangers_find_people_where_a_rule_lets_them(server, login, verona, options_for):
    server.configure(
        auth=["ldap"],
        auth_options={"ldap": options_for(verona)},
        access={"friends": {"users": ["nurse@montague.example"]}},
    )
    server.host(HOST, vcard_ldap={"search_access": "friends"})
    montague = server.host("montague.example")
    nurse, juliet = (login(montague, n, domain=montague.name) for n in ("nurse", "juliet"))
    assert search(nurse, last="Capulet") == ["juliet"]
    assert refused(search, juliet, last="Capulet") == "forbidden"


def test_a_malformed_request_is_refused(romeo):
    query = Element(NS_SEARCH, "query")
    query.append(Element("jabber:x:data", "x", {"type": "result"}))
    assert refused(romeo.set, query, to=VJUD) in ("bad-request", "not-acceptable")
    assert refused(romeo.get, Element(NS_SEARCH, "search"), to=VJUD) == "bad-request"
    assert refused(romeo.set, Element("jabber:iq:register", "query"), to=VJUD) == (
        "service-unavailable"
    )


def test_who_may_not_log_in_is_not_found(server, login, verona, options_for):
    groups = f"ou=groups,{verona.base}"
    server.configure(
        auth=["ldap"],
        auth_options={
            "ldap": {
                **options_for(verona),
                "dn_filter": "(&(cn=chat)(member=%D))",
                "dn_filter_base": groups,
            }
        },
    )
    nurse = login(server.host(HOST, vcard_ldap={"return_all": True}), "nurse")
    assert search(nurse) == ["juliet", "nurse"]
    assert search(nurse, nick="romeo") == []


def test_while_the_directory_is_away_a_search_is_answered(capulet, login, slapd):
    romeo = login(capulet(slapd), "romeo")
    slapd.stop()
    assert refused(search, romeo, last="Capulet") == "internal-server-error"


def test_there_need_be_no_directory_of_users(people):
    romeo = people(search_domain=None)
    assert refused(search, romeo, last="Capulet") != ""
