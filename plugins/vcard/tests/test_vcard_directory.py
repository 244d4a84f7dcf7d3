"""The users directory: who is found, by whom, and by what (XEP-0055)."""

import unicodedata

import pytest
from sqlalchemy import text

from stonechat.errors import StorageError
from stonechat.forms import Field, Form, find_form
from stonechat.namespaces import NS_DISCO_INFO, NS_DISCO_ITEMS
from stonechat.stanza import Element
from stonechat_vcard.cards import FIELDS, MAX_FOLDED, Card

NS_SEARCH = "jabber:iq:search"
NS_REGISTER = "jabber:iq:register"
VJUD = "vjud.capulet.example"
ROMEO = "romeo@capulet.example"
ASK = Element(NS_SEARCH, "query")


@pytest.fixture
def options():
    """Everybody may be found, and what most tests are about is who is."""
    return {"listed_by_default": True}


@pytest.fixture
def host(server, options):
    return server.host("capulet.example", vcard=options, disco={})


@pytest.fixture
def romeo(host):
    return host.connect(f"{ROMEO}/orchard")


@pytest.fixture
def people(host, talk):
    """Makes people with vCards: `people(juliet="<FN>...</FN>")`; returns their clients."""

    def make(**cards):
        clients = [host.connect(f"{name}@capulet.example/hall") for name in cards]
        for client, parts in zip(clients, cards.values(), strict=True):
            client.set(talk.card(parts))
        return clients

    return make


def name(given, family):
    return f"<N><GIVEN>{given}</GIVEN><FAMILY>{family}</FAMILY></N>"


def form_of(**wanted):
    query = Element(NS_SEARCH, "query")
    fields = [Field(var, values=value) for var, value in wanted.items()]
    query.append(Form("submit", NS_SEARCH, fields=fields).to_element())
    return query


def legacy(**wanted):
    query = Element(NS_SEARCH, "query")
    for field, value in wanted.items():
        query.add(field, value)
    return query


def find(client, **wanted):
    """The localparts that a search by form finds."""
    answer = client.set(form_of(**wanted), VJUD).payload
    table = find_form(answer)
    if table is None:
        # XEP-0055, "Searching"
        assert answer == ASK
        return []
    return [cells(item)["jid"].partition("@")[0] for item in table.find_all("item")]


def cells(item):
    return {field.get("var"): field.find_text("value") for field in item.find_all("field")}


# The forms


def test_the_fields_are_shown(romeo):
    answer = romeo.get(ASK, VJUD).payload
    names = [element.name for element in answer.elements]
    assert names == ["instructions", "first", "last", "nick", "email", "x"]
    assert answer.find_text("instructions")
    form = Form.read(find_form(answer), form_type=NS_SEARCH, type="form")
    assert form.form_type == NS_SEARCH
    assert (form.title, bool(form.instructions)) == ("User Directory", True)
    assert [(field.var, field.type, field.label) for field in form.fields] == [
        ("first", "text-single", "Given Name"),
        ("last", "text-single", "Family Name"),
        ("nick", "text-single", "Nickname"),
        ("email", "text-single", "Email Address"),
        ("fn", "text-single", "Full Name"),
        ("middle", "text-single", "Middle Name"),
        ("bday", "text-single", "Birthday"),
        ("ctry", "text-single", "Country"),
        ("locality", "text-single", "City"),
        ("orgname", "text-single", "Organization"),
        ("orgunit", "text-single", "Department"),
    ]


def test_a_search_by_elements_is_answered_by_elements(people, romeo):
    card = name("Juliet", "Capulet") + "<NICKNAME>JuliC</NICKNAME>"
    people(juliet=card, tybalt=name("Tybalt", "Capulet"), benvolio=name("Benvolio", "Montague"))
    answer = romeo.set(legacy(last="Capulet"), VJUD).payload
    assert [item.get("jid") for item in answer.elements] == [
        "juliet@capulet.example",
        "tybalt@capulet.example",
    ]
    juliet = answer.elements[0]
    assert [(element.name, element.text) for element in juliet.elements] == [
        ("first", "Juliet"),
        ("last", "Capulet"),
        ("nick", "JuliC"),
        ("email", ""),
    ]


def test_a_search_by_form_is_answered_by_a_table(people, romeo):
    people(juliet=name("Juliet", "Capulet") + "<ADR><CTRY>Italy</CTRY></ADR>")
    table = find_form(romeo.set(form_of(last="Capulet"), VJUD).payload)
    assert table.get("type") == "result"
    assert cells(table)["FORM_TYPE"] == NS_SEARCH
    reported = [(f.get("var"), f.get("type")) for f in table.find("reported").elements]
    assert reported[:3] == [
        ("jid", "jid-single"),
        ("first", "text-single"),
        ("last", "text-single"),
    ]
    (item,) = table.find_all("item")
    row = cells(item)
    assert list(row) == [var for var, _ in reported]
    assert row["jid"] == "juliet@capulet.example"
    assert (row["first"], row["last"], row["ctry"], row["nick"]) == (
        "Juliet",
        "Capulet",
        "Italy",
        "",
    )


@pytest.mark.parametrize("query", [legacy(last="Paris"), form_of(last="Paris")])
def test_where_nobody_fits_the_answer_is_empty(people, romeo, query):
    people(juliet=name("Juliet", "Capulet"))
    assert romeo.set(query, VJUD).payload == ASK


# What fits


CARD = (
    "<FN>Juliet of Capulet</FN><N><GIVEN>Juliet</GIVEN><FAMILY>Capulet</FAMILY>"
    "<MIDDLE>Giulietta</MIDDLE></N><NICKNAME>JuliC</NICKNAME><BDAY>1476-06-09</BDAY>"
    "<ADR><HOME/><CTRY/></ADR><ADR><WORK/><CTRY>Italy</CTRY><LOCALITY>Verona</LOCALITY></ADR>"
    "<EMAIL><USERID>jcapulet@shakespeare.lit</USERID></EMAIL>"
    "<ORG><ORGNAME>House of Capulet</ORGNAME><ORGUNIT>Daughters</ORGUNIT></ORG>"
)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fn", "Juliet of Capulet"),
        ("first", "Juliet"),
        ("last", "Capulet"),
        ("middle", "Giulietta"),
        ("nick", "JuliC"),
        ("bday", "1476-06-09"),
        ("ctry", "Italy"),
        ("locality", "Verona"),
        ("email", "jcapulet@shakespeare.lit"),
        ("orgname", "House of Capulet"),
        ("orgunit", "Daughters"),
    ],
)
def test_people_are_found_by_each_field(people, romeo, field, value):
    people(juliet=CARD, tybalt="<FN>Tybalt</FN>")
    assert find(romeo, **{field: value}) == ["juliet"]
    assert find(romeo, **{field: f"{value}x"}) == []


def test_all_that_is_filled_in_has_to_fit(people, romeo):
    people(juliet=name("Juliet", "Capulet"), tybalt=name("Tybalt", "Capulet"))
    assert find(romeo, last="Capulet", first="Tybalt", nick="") == ["tybalt"]
    assert find(romeo, last="Capulet", first="Romeo") == []


@pytest.mark.parametrize("wanted", ["capulet", "CAPULET", "  Capulet ", "Ｃapulet"])
def test_case_width_and_spaces_do_not_matter(people, romeo, wanted):
    people(juliet=name("Juliet", "CaPuLet"))
    assert find(romeo, last=wanted) == ["juliet"]


def test_letters_beyond_ascii_have_cases_too(people, romeo):
    people(juliet=name("Жульетта", "STRASSE"), nurse=name("Ödön", "x"))
    assert find(romeo, first="жуЛЬетта", last="straße") == ["juliet"]
    assert find(romeo, first="ödön") == ["nurse"]
    assert find(romeo, first="жул*") == ["juliet"]


def test_people_come_in_the_order_of_their_addresses(people, romeo):
    people(tybalt=name("a", "Capulet"), juliet=name("c", "Capulet"), nurse=name("b", "Capulet"))
    assert find(romeo, last="Capulet") == ["juliet", "nurse", "tybalt"]


@pytest.mark.parametrize("options", [{"listed_by_default": True, "matches": 2}])
def test_a_search_finds_so_many_at_most(people, romeo):
    people(tybalt=name("a", "Capulet"), juliet=name("c", "Capulet"), nurse=name("b", "Capulet"))
    assert find(romeo, last="Capulet") == ["juliet", "nurse"]
    assert len(romeo.set(legacy(last="Capulet"), VJUD).payload.elements) == 2


def test_the_newest_vcard_counts(people, talk, romeo):
    (juliet,) = people(juliet=name("Juliet", "Capulet"))
    juliet.set(talk.card(name("Juliet", "Montague")))
    assert find(romeo, first="Juliet", last="Capulet") == []
    assert find(romeo, last="Montague") == ["juliet"]
    juliet.set(talk.card())
    assert find(romeo, last="Montague") == []


def test_long_texts_are_found_by_their_beginnings(people, romeo):
    people(juliet=f"<FN>{'x' * 300}</FN>")
    assert find(romeo, fn="x" * 300) == ["juliet"]
    assert find(romeo, fn="xxx*") == ["juliet"]


def test_of_a_text_no_more_is_looked_at_than_can_be_found(romeo, monkeypatch):
    """Marks on letters are put into their order, at a cost that grows with their square."""
    looked_at = []
    normalize = unicodedata.normalize

    def watched(form, text):
        looked_at.append(len(text))
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", watched)
    assert find(romeo, last="e" + "\u0315\u0300" * 50_000) == []
    assert max(looked_at) == MAX_FOLDED


def test_each_host_has_people_of_its_own(server, people, romeo):
    people(juliet=name("Juliet", "Capulet"))
    montague = server.host("montague.example", vcard={"listed_by_default": True})
    benvolio = montague.connect("benvolio@montague.example")
    assert benvolio.set(legacy(first="Juliet"), "vjud.montague.example").payload == ASK
    assert find(romeo, first="Juliet") == ["juliet"]


# Wildcards


def test_an_asterisk_at_the_end_stands_for_any_text(people, romeo):
    people(juliet=name("Juliet", "Capulet"), nurse=name("Ju", "x"), romeo2=name("Jv", "x"))
    assert find(romeo, first="ju*") == ["juliet", "nurse"]
    assert find(romeo, first="JULIET*") == ["juliet"]
    assert find(romeo, first="j***") == ["juliet", "nurse", "romeo2"]
    assert find(romeo, first="k*") == []


def test_by_default_it_does_so_nowhere_else(people, romeo):
    people(juliet=name("Juliet", "Capulet"), nurse=name("*liet", "x"))
    assert find(romeo, first="*liet") == ["nurse"]
    assert find(romeo, first="J*t") == []


@pytest.mark.parametrize("options", [{"listed_by_default": True, "wildcards": "anywhere"}])
def test_it_may_stand_anywhere(people, romeo, talk):
    people(juliet=name("Juliet", "Capulet"), nurse=name("Angelica", "x"))
    assert find(romeo, first="*LI*") == ["juliet", "nurse"]
    assert find(romeo, first="j*t") == ["juliet"]
    assert find(romeo, first="*l*i*") == ["juliet", "nurse"]
    assert find(romeo, first="ju*") == ["juliet"]
    refused = talk.refusal(romeo.set, form_of(first="*a*b*c*"), VJUD)
    assert refused == ("not-acceptable", "modify")


@pytest.mark.parametrize("options", [{"listed_by_default": True, "wildcards": "off"}])
def test_it_may_stand_for_itself(people, romeo):
    people(juliet=name("Juliet", "Capulet"), nurse=name("Ju*", "x"))
    assert find(romeo, first="Ju*") == ["nurse"]
    assert "asterisk" not in str(romeo.get(ASK, VJUD).payload)


@pytest.mark.parametrize(
    "options",
    [{"listed_by_default": True, "wildcards": where} for where in ("anywhere", "end", "off")],
)
@pytest.mark.parametrize("wanted", ["%", "_uliet", "J%", "[J]uliet", "Jul/iet", "' OR 1=1 --"])
def test_what_means_something_to_databases_means_nothing(people, romeo, wanted):
    people(juliet=name("Juliet", "Capulet"), nurse=name("100% / [J]_%", "x"))
    assert find(romeo, first=wanted) == []
    assert find(romeo, first="100% / [J]_%") == ["nurse"]


@pytest.mark.parametrize("options", [{"listed_by_default": True, "wildcards": "anywhere"}])
def test_neither_does_it_beside_asterisks(people, romeo):
    people(juliet=name("Juliet", "Capulet"), nurse=name("100% / [J]_%", "x"))
    assert find(romeo, first="*%*") == ["nurse"]
    assert find(romeo, first="*_*") == ["nurse"]
    assert find(romeo, first="*/*") == ["nurse"]
    assert find(romeo, first="*[j]*") == ["nurse"]
    assert find(romeo, first="*j_*") == []


@pytest.mark.parametrize("last", ["\ud7ff", "\ue000", "\U0010ffff", "z", "\ufffd"])
def test_a_beginning_may_end_in_any_character(host, romeo, last):
    store = host.plugin("vcard").store
    for localpart, fn in (("juliet", f"a{last}"), ("nurse", f"a{last}b"), ("tybalt", "ab")):
        store.put(localpart, Card(b"", "", False, {**dict.fromkeys(FIELDS, ""), "fn": fn}))
    assert find(romeo, fn=f"a{last}*") == ["juliet", "nurse"]


@pytest.mark.usefixtures("sqlite_only")
def test_a_search_by_a_beginning_uses_the_index(host):
    """And so takes no longer where there are many people."""

    def plan(connection):
        return [
            row[-1]
            for row in connection.execute(
                text(
                    "EXPLAIN QUERY PLAN SELECT localpart FROM vcard_people WHERE host = 'h'"
                    " AND folded_last >= 'cap' AND folded_last < 'caq' AND choice >= 0"
                    " AND is_private = 0 ORDER BY localpart LIMIT 30"
                )
            )
        ]

    assert "vcard_people_by_last" in host.kernel.storage.read(plan)[0]


# Who is found


@pytest.mark.parametrize("options", [{}])
def test_by_default_nobody_is_found_who_has_not_said_so(people, romeo):
    (juliet,) = people(juliet=name("Juliet", "Capulet"))
    assert find(romeo, last="Capulet") == []
    juliet.set(Element(NS_REGISTER, "query"), VJUD)
    assert find(romeo, last="Capulet") == ["juliet"]
    juliet.set(f"<query xmlns='{NS_REGISTER}'><remove/></query>", VJUD)
    assert find(romeo, last="Capulet") == []


@pytest.mark.parametrize("options", [{}])
def test_one_may_say_so_before_one_has_a_vcard(server, host, romeo, talk):
    juliet = host.connect("juliet@capulet.example/balcony")
    juliet.set(Element(NS_REGISTER, "query"), VJUD)
    juliet.set(talk.card(name("Juliet", "Capulet")))
    assert find(romeo, last="Capulet") == ["juliet"]
    juliet.set(talk.card())
    juliet.set(talk.card(name("Juliet", "Montague")))
    assert find(romeo, last="Montague") == ["juliet"]
    server.restart()
    assert find(host.connect(ROMEO), last="Montague") == ["juliet"]


def test_where_all_are_found_one_may_leave(people, romeo):
    (juliet,) = people(juliet=name("Juliet", "Capulet"))
    juliet.set(f"<query xmlns='{NS_REGISTER}'><remove/></query>", VJUD)
    assert find(romeo, last="Capulet") == []
    juliet.set(Element(NS_REGISTER, "query"), VJUD)
    assert find(romeo, last="Capulet") == ["juliet"]


@pytest.mark.parametrize("privacy", ["PRIVATE", "CONFIDENTIAL"])
def test_a_vcard_that_says_it_is_private_is_not_found(people, romeo, talk, privacy):
    (juliet,) = people(juliet=name("Juliet", "Capulet") + f"<CLASS><{privacy}/></CLASS>")
    assert find(romeo, last="Capulet") == []
    juliet.set(talk.card(name("Juliet", "Capulet"), "<CLASS><PUBLIC/></CLASS>"))
    assert find(romeo, last="Capulet") == ["juliet"]


@pytest.mark.parametrize("options", [{}])
def test_the_directory_says_whether_one_is_in_it(romeo):
    answer = romeo.get(Element(NS_REGISTER, "query"), VJUD).payload
    assert answer.find("registered") is None
    assert Form.read(find_form(answer), form_type=NS_REGISTER).get("listed") == "0"
    romeo.set(Element(NS_REGISTER, "query"), VJUD)
    answer = romeo.get(Element(NS_REGISTER, "query"), VJUD).payload
    assert answer.find("registered") is not None
    assert answer.find_text("instructions")
    assert Form.read(find_form(answer), form_type=NS_REGISTER).get("listed") == "1"


def choice(value):
    query = Element(NS_REGISTER, "query")
    fields = [Field("listed", "boolean", values=(value,))]
    query.append(Form("submit", NS_REGISTER, fields=fields).to_element())
    return query


def test_a_form_says_it_too(people, romeo, talk):
    (juliet,) = people(juliet=name("Juliet", "Capulet"))
    juliet.set(choice("0"), VJUD)
    assert find(romeo, last="Capulet") == []
    juliet.set(choice("true"), VJUD)
    assert find(romeo, last="Capulet") == ["juliet"]
    assert talk.refusal(juliet.set, choice("perhaps"), VJUD) == ("bad-request", "modify")


@pytest.mark.parametrize("options", [{}])
def test_who_is_not_in_it_cannot_leave(romeo, talk):
    leave = f"<query xmlns='{NS_REGISTER}'><remove/></query>"
    assert talk.refusal(romeo.set, leave, VJUD) == ("registration-required", "auth")
    both = f"<query xmlns='{NS_REGISTER}'><remove/><nick>R</nick></query>"
    assert talk.refusal(romeo.set, both, VJUD) == ("bad-request", "modify")


@pytest.mark.parametrize("type", ["get", "set"])
def test_people_of_other_hosts_are_not_in_it(server, host, talk, type):
    paris = server.host("montague.example").connect("paris@montague.example/hall")
    query = Element(NS_REGISTER, "query")
    assert talk.refusal(getattr(paris, type), query, VJUD) == ("forbidden", "auth")


def test_an_operator_says_it_for_somebody(server, people, romeo):
    people(juliet=name("Juliet", "Capulet"))
    server.command("vcard-listed", jid="juliet@capulet.example", listed=False)
    assert find(romeo, last="Capulet") == []
    server.command("vcard-listed", jid="juliet@capulet.example", listed=True)
    assert find(romeo, last="Capulet") == ["juliet"]


def test_who_is_gone_is_not_found(server, host, people, romeo, talk):
    people(juliet=name("Juliet", "Capulet"))
    host.kernel.accounts.remove("juliet")
    server.settle()
    assert find(romeo, last="Capulet") == []


# Who may search


@pytest.mark.parametrize("type", ["get", "set"])
@pytest.mark.parametrize(
    ("access", "may"), [("local", False), ("open", True), ("researchers", True), ("nobody", False)]
)
def test_who_may_search_is_the_operators_choice(server, talk, type, access, may):
    host = server.host("capulet.example", vcard={"search_access": access})
    montague = server.host("montague.example")
    paris = montague.connect("paris@montague.example/hall")
    call = getattr(paris, type)
    if may:
        call(legacy(last="Capulet"), VJUD)
    else:
        assert talk.refusal(call, legacy(last="Capulet"), VJUD) == ("forbidden", "auth")
    romeo = host.connect(ROMEO)
    if access in ("local", "open"):
        romeo.get(ASK, VJUD)
    else:
        assert talk.refusal(romeo.get, ASK, VJUD) == ("forbidden", "auth")


# Nonsense


@pytest.mark.parametrize("query", [ASK, legacy(last="  "), form_of(first="*"), form_of()])
def test_a_search_for_nothing_is_refused(people, romeo, talk, query):
    people(juliet=name("Juliet", "Capulet"))
    assert talk.refusal(romeo.set, query, VJUD) == ("not-acceptable", "modify")


@pytest.mark.parametrize("options", [{"listed_by_default": True, "return_all": True}])
@pytest.mark.parametrize("query", [ASK, form_of(first="*")])
def test_a_search_for_nothing_may_find_everybody(people, romeo, query):
    people(juliet=name("Juliet", "Capulet"))
    assert "juliet@capulet.example" in str(romeo.set(query, VJUD).payload)


FOREIGN = (
    "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>"
    "<value>jabber:iq:register</value></field></x>"
)


@pytest.mark.parametrize(
    ("form", "condition"),
    [
        ("<x xmlns='jabber:x:data' type='form'/>", "bad-request"),
        ("<x xmlns='jabber:x:data'><field var='last'/></x>", "bad-request"),
        (FOREIGN, "not-acceptable"),
        (
            "<x xmlns='jabber:x:data' type='submit'><field><value>Capulet</value></field></x>",
            "bad-request",
        ),
    ],
)
def test_other_forms_are_refused(romeo, talk, form, condition):
    query = f"<query xmlns='{NS_SEARCH}'>{form}</query>"
    assert talk.refusal(romeo.set, query, VJUD)[0] == condition


@pytest.mark.parametrize("namespace", [NS_SEARCH, NS_REGISTER])
@pytest.mark.parametrize("type", ["get", "set"])
def test_only_queries_are_answered(romeo, talk, namespace, type):
    payload = Element(namespace, "question")
    assert talk.refusal(getattr(romeo, type), payload, VJUD) == ("bad-request", "modify")


def test_fields_that_nobody_knows_change_nothing(people, romeo):
    people(juliet=name("Juliet", "Capulet"))
    assert find(romeo, last="Capulet", gender="female") == ["juliet"]


def test_a_store_that_fails_is_told(server, host, romeo, talk, monkeypatch):
    server.expect_errors()

    def fail(*_, **__):
        raise StorageError("gone")

    monkeypatch.setattr(host.kernel.storage, "read", fail)
    refused = talk.refusal(romeo.set, form_of(last="Capulet"), VJUD)
    assert refused == ("internal-server-error", "wait")


# The service


def test_the_service_is_discovered(romeo):
    items = romeo.get(Element(NS_DISCO_ITEMS, "query"), "capulet.example").payload
    assert (VJUD, "User Directory") in [(i.get("jid"), i.get("name")) for i in items.elements]
    info = romeo.get(Element(NS_DISCO_INFO, "query"), VJUD).payload
    (identity,) = info.find_all("identity")
    assert (identity.get("category"), identity.get("type")) == ("directory", "user")
    features = [feature.get("var") for feature in info.find_all("feature")]
    assert {NS_SEARCH, NS_REGISTER} <= set(features)


@pytest.mark.parametrize(
    "options", [{"search_domain": "users.@HOST@", "search_name": "Who is who"}]
)
def test_domain_and_name_are_the_operators_choice(romeo):
    items = romeo.get(Element(NS_DISCO_ITEMS, "query"), "capulet.example").payload
    assert [(i.get("jid"), i.get("name")) for i in items.elements] == [
        ("users.capulet.example", "Who is who")
    ]
    assert romeo.get(ASK, "users.capulet.example").payload.find("first") is not None


@pytest.mark.parametrize("options", [{"search_domain": None}])
def test_there_may_be_none(romeo, talk):
    items = romeo.get(Element(NS_DISCO_ITEMS, "query"), "capulet.example").payload
    assert items.elements == []
    assert talk.refusal(romeo.get, ASK, VJUD)[0] == "remote-server-not-found"
