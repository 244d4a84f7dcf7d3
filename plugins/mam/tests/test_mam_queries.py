"""What a client may ask of its archive, and what it is told."""

import pytest

from stonechat import timestamps
from stonechat.errors import StanzaError, StorageError
from stonechat.forms import Form, find_form
from stonechat.namespaces import NS_DISCO_INFO, NS_RSM
from stonechat.stanza import Message
from stonechat.testing.client import error_of
from stonechat.xml import Element

NS_MAM = "urn:xmpp:mam:2"
JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"

UNKNOWN = "1234567890123456789"


@pytest.fixture
def people(server, capulet, juliet, romeo):
    """Six messages, a minute between them, of Romeo, the Nurse and Juliet herself."""
    nurse = capulet.connect("nurse@capulet.example/kitchen")
    capulet.connect("nurse@capulet.example/church")
    for sender, text in (
        (romeo, "1 romeo"),
        (nurse, "2 nurse"),
        (romeo, "3 romeo"),
        (juliet, "4 juliet"),
        (romeo, "5 romeo"),
    ):
        sender.message(JULIET, text)
        server.clock.advance(60)
    juliet.message("nurse@capulet.example/kitchen", "6 to nurse")
    juliet.received()
    return juliet


# Who may ask


@pytest.mark.parametrize("to", [JULIET, "rosaline@capulet.example"])
@pytest.mark.parametrize("name", ["query", "prefs", "metadata"])
@pytest.mark.parametrize("type_", ["get", "set"])
def test_nobody_else_may_ask_and_nobody_learns_who_has_an_account(people, romeo, to, name, type_):
    answer = romeo.request(type_, Element(NS_MAM, name), to)
    error = error_of(answer)
    assert (error.condition, error.type) == ("forbidden", "auth")
    assert not [stanza for stanza in romeo.received() if isinstance(stanza, Message)]


@pytest.mark.parametrize("to", [None, JULIET])
def test_the_account_itself_may_with_or_without_its_address(people, ask, to):
    assert len(ask(people, to).results) == 6


def test_a_request_to_a_client_is_the_client_s_to_answer(people, romeo):
    romeo.send(f"<iq type='get' id='x' to='{JULIET}/balcony'><query xmlns='{NS_MAM}'/></iq>")
    assert people.receive_iq().id == "x"


# What comes


def test_results_come_from_the_account_to_the_client_that_asked(capulet, people, ask):
    chamber = capulet.connect(f"{JULIET}/chamber")
    answer = ask(people)
    for result in answer.results:
        assert result.wrapper.from_.text == JULIET
        assert result.wrapper.to == people.jid
        assert result.wrapper.id
        assert result.query_id == "f27"
    assert not [stanza for stanza in chamber.received() if isinstance(stanza, Message)]


def test_a_query_without_an_id_gets_results_without_one(people, ask):
    answer = ask(people, queryid="")
    assert not any(
        result.wrapper.element.first().attributes.get("queryid") for result in answer.results
    )


def test_a_query_id_is_a_text_like_any_other(people, ask):
    name = "'/><forged a=\"&amp;"
    assert {result.query_id for result in ask(people, queryid=name).results} == {name}


def test_messages_come_in_order_with_the_time_they_came(people, ask):
    answer = ask(people)
    assert [body[0] for body in answer.bodies] == list("123456")
    stamps = [result.stamp for result in answer.results]
    assert stamps == sorted(stamps)
    assert 299 * 1_000_000 < stamps[-1] - stamps[0] < 301 * 1_000_000


def test_the_end_says_all_there_is_to_say(people, ask):
    answer = ask(people)
    assert answer.is_complete
    assert answer.of_set("first") == answer.ids[0]
    assert answer.of_set("last") == answer.ids[-1]
    assert (answer.index, answer.of_set("count")) == ("0", "6")


def test_an_archive_may_be_empty(juliet, ask):
    answer = ask(juliet)
    assert answer.results == []
    assert answer.is_complete
    assert answer.of_set("first") is answer.of_set("last") is None
    assert answer.of_set("count") == "0"


# Filters


@pytest.mark.parametrize(
    ("with_", "found"),
    [
        (ROMEO, "135"),
        ("ROMEO@capulet.example", "135"),
        (f"{ROMEO}/orchard", "135"),
        (f"{ROMEO}/tomb", ""),
        ("nurse@capulet.example", "26"),
        ("nurse@capulet.example/kitchen", "26"),
        # To herself: not everything, which would match too.
        (JULIET, "4"),
        (f"{JULIET}/balcony", "4"),
        ("rosaline@capulet.example", ""),
        ("capulet.example", ""),
    ],
)
def test_with_finds_a_conversation(people, ask, with_, found):
    answer = ask(people, with_=with_)
    assert [body[0] for body in answer.bodies] == list(found)
    assert answer.of_set("count") == str(len(found))


def test_start_and_end_are_part_of_what_they_bound(people, ask):
    stamps = [result.stamp for result in ask(people).results]
    at = [timestamps.written(stamp) for stamp in stamps]
    assert [b[0] for b in ask(people, start=at[2]).bodies] == list("3456")
    assert [b[0] for b in ask(people, end=at[2]).bodies] == list("123")
    assert [b[0] for b in ask(people, start=at[1], end=at[3]).bodies] == list("234")
    later = timestamps.written(stamps[2] + 1)
    earlier = timestamps.written(stamps[2] - 1)
    assert [b[0] for b in ask(people, start=later).bodies] == list("456")
    assert [b[0] for b in ask(people, end=earlier).bodies] == list("12")
    assert ask(people, start=at[3], end=at[1]).bodies == []


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z"]
)
def test_times_may_be_far_away(people, ask, moment):
    everything = len(ask(people).results)
    assert len(ask(people, start=moment).results) == (0 if moment.startswith("9") else everything)
    assert len(ask(people, end=moment).results) == (everything if moment.startswith("9") else 0)


def test_ids_may_bound_what_is_found(people, ask):
    ids = ask(people).ids
    assert ask(people, after_id=ids[2]).ids == ids[3:]
    assert ask(people, before_id=ids[2]).ids == ids[:2]
    assert ask(people, after_id=ids[0], before_id=ids[4]).ids == ids[1:4]
    # Unlike in a page, that does not mean from the end.
    assert ask(people, before_id=ids[4], rsm={"max": 2}).ids == ids[:2]


def test_single_messages_may_be_fetched(people, ask):
    ids = ask(people).ids
    assert ask(people, ids=[ids[3], ids[1], ids[3]]).ids == [ids[1], ids[3]]
    assert ask(people, ids=ids, with_=ROMEO).ids == [ids[0], ids[2], ids[4]]
    answer = ask(people, ids=ids, rsm={"max": 2, "before": ""})
    assert answer.ids == ids[4:]
    assert answer.of_set("count") == "6"


def test_filters_may_be_combined(people, ask):
    everything = ask(people)
    start = timestamps.written(everything.results[1].stamp)
    answer = ask(people, with_=ROMEO, start=start, before_id=everything.ids[4])
    assert answer.bodies == ["3 romeo"]


@pytest.mark.parametrize(
    "how",
    [
        {"after_id": UNKNOWN},
        {"before_id": UNKNOWN},
        {"ids": [UNKNOWN]},
        {"rsm": {"after": UNKNOWN}},
        {"rsm": {"before": UNKNOWN}},
        {"after_id": "28482-98726-73623"},
        {"rsm": {"after": "0 OR 1=1 --"}},
        {"rsm": {"before": "9" * 30}},
        {"rsm": {"before": "١٢٣"}},
        {"ids": ["-1"]},
    ],
    ids=str,
)
def test_an_id_that_is_not_in_the_archive_is_not_found(people, ask, how):
    with pytest.raises(StanzaError) as refusal:
        ask(people, **how)
    assert refusal.value.condition == "item-not-found"


@pytest.mark.parametrize("how", ["after_id", "before_id", "ids", "after", "before"])
def test_an_id_of_somebody_else_s_archive_is_not_found(people, romeo, ask, how):
    foreign = ask(romeo).ids[0]
    asked = {how: foreign} if how.endswith(("id", "ids")) else {"rsm": {how: foreign}}
    with pytest.raises(StanzaError) as refusal:
        ask(people, **asked)
    assert refusal.value.condition == "item-not-found"


def test_one_id_of_many_that_is_missing_is_enough(people, ask):
    with pytest.raises(StanzaError) as refusal:
        ask(people, ids=[*ask(people).ids, UNKNOWN])
    assert refusal.value.condition == "item-not-found"


def test_an_empty_archive_has_no_ids_either(juliet, ask):
    with pytest.raises(StanzaError) as refusal:
        ask(juliet, after_id=UNKNOWN)
    assert refusal.value.condition == "item-not-found"


# Forms


def test_the_form_tells_what_may_be_asked_for(juliet):
    payload = juliet.get(Element(NS_MAM, "query")).payload
    form = Form.read(find_form(payload), form_type=NS_MAM, type="form")
    types = {field.var: field.type for field in form.fields}
    assert types == {
        "with": "jid-single",
        "start": "text-single",
        "end": "text-single",
        "before-id": "text-single",
        "after-id": "text-single",
        "ids": "list-multi",
        "include-groupchat": "boolean",
        "{urn:xmpp:fulltext:0}fulltext": "text-single",
    }
    assert not any(field.required for field in form.fields)
    ids = next(e for e in find_form(payload).find_all("field") if e.get("var") == "ids")
    validate = ids.find("validate", "http://jabber.org/protocol/xdata-validate")
    assert validate.find("open") is not None


@pytest.mark.parametrize("value", ["true", "false", "1", "0"])
def test_there_is_no_groupchat_whichever_way_it_is_asked_for(people, ask, value):
    assert len(ask(people, include_groupchat=value).results) == 6


def form_with(fields, form_type=NS_MAM, kind="submit"):
    return (
        f"<query xmlns='{NS_MAM}'><x xmlns='jabber:x:data' type='{kind}'>"
        f"<field var='FORM_TYPE' type='hidden'><value>{form_type}</value></field>"
        f"{fields}</x></query>"
    )


def paged(page):
    return f"<query xmlns='{NS_MAM}'><set xmlns='{NS_RSM}'>{page}</set></query>"


@pytest.mark.parametrize(
    ("payload", "condition"),
    [
        (
            form_with("<field var='urn:example:mood'><value>x</value></field>"),
            "feature-not-implemented",
        ),
        (form_with("<field var='start'><value>yesterday</value></field>"), "bad-request"),
        (form_with("<field var='end'><value>2026-02-30T00:00:00Z</value></field>"), "bad-request"),
        (form_with("<field var='start'><value>1</value><value>2</value></field>"), "bad-request"),
        (form_with("<field var='with'><value>@</value></field>"), "not-acceptable"),
        (
            form_with("<field var='with'><value>a@b.c</value><value>d@e.f</value></field>"),
            "bad-request",
        ),
        (form_with("<field var='include-groupchat'><value>maybe</value></field>"), "bad-request"),
        (form_with("<field var='start'/><field var='start'/>"), "bad-request"),
        (form_with("", form_type="jabber:iq:register"), "not-acceptable"),
        (form_with("", kind="result"), "bad-request"),
        (form_with("<field var='ids'>" + "<value>1</value>" * 1001 + "</field>"), "bad-request"),
        (f"<query xmlns='{NS_MAM}' node='princely_musings'/>", "feature-not-implemented"),
        (
            paged("<max>-1</max>"),
            "bad-request",
        ),
        (
            paged("<max>many</max>"),
            "bad-request",
        ),
        (
            paged("<after>1</after><before>2</before>"),
            "bad-request",
        ),
        (
            paged("<index>1000000</index>"),
            "feature-not-implemented",
        ),
        (f"<fetch xmlns='{NS_MAM}'/>", "service-unavailable"),
        (f"<metadata xmlns='{NS_MAM}'/>", "service-unavailable"),
    ],
)
def test_what_is_malformed_is_refused(people, payload, condition):
    assert error_of(people.request("set", payload)).condition == condition
    assert not [stanza for stanza in people.received() if isinstance(stanza, Message)]


def test_fields_that_are_left_empty_say_nothing(people, ask):
    answer = ask(
        people, with_="", start="", end="", after_id="", before_id="", ids="", fulltext=""
    )
    assert len(answer.results) == 6


# Pages


def test_a_page_may_be_flipped_which_changes_nothing_but_the_order(people, ask):
    ids = ask(people).ids
    answer = ask(people, flip=True, rsm={"max": 3, "after": ids[1]})
    assert answer.ids == [ids[4], ids[3], ids[2]]
    assert (answer.of_set("first"), answer.of_set("last")) == (ids[2], ids[4])
    answer = ask(people, flip=True, rsm={"max": 2, "before": ""})
    assert answer.ids == [ids[5], ids[4]]


def test_each_page_knows_its_place(people, ask):
    ids = ask(people).ids
    for rsm, place, complete in (
        ({"max": 2}, 0, False),
        ({"max": 2, "after": ids[1]}, 2, False),
        ({"max": 2, "after": ids[3]}, 4, True),
        ({"max": 2, "before": ""}, 4, False),
        ({"max": 2, "before": ids[4]}, 2, False),
        ({"max": 2, "before": ids[2]}, 0, True),
        ({"max": 2, "index": 3}, 3, False),
        ({"max": 2, "index": 5}, 5, True),
    ):
        answer = ask(people, rsm=rsm)
        assert answer.ids == ids[place : place + 2]
        # slixmpp goes backwards only where the place is not said.
        assert answer.index == ("" if "before" in rsm else str(place))
        assert answer.of_set("count") == "6"
        assert answer.is_complete is complete


def test_an_index_beyond_the_end_is_an_empty_page(people, ask):
    answer = ask(people, rsm={"max": 2, "index": 6})
    assert answer.results == []
    assert answer.of_set("count") == "6"
    assert answer.of_set("first") is None


def test_after_the_last_and_before_the_first_there_is_nothing(people, ask):
    ids = ask(people).ids
    for rsm in ({"after": ids[-1]}, {"before": ids[0]}):
        answer = ask(people, rsm=rsm)
        assert answer.results == []
        assert answer.is_complete
        assert answer.of_set("count") == "6"


def test_who_wants_no_messages_gets_their_number(people, ask):
    answer = ask(people, rsm={"max": 0})
    assert answer.results == []
    assert answer.of_set("count") == "6"
    assert not answer.is_complete
    assert ask(people, with_=ROMEO, rsm={"max": 0}).of_set("count") == "3"
    assert ask(people, with_=f"{ROMEO}/orchard", rsm={"max": 0}).of_set("count") == "3"


def test_a_page_has_fifty_messages_and_two_hundred_and_fifty_at_most(juliet, romeo, ask):
    for number in range(260):
        romeo.message(JULIET, str(number))
    assert ask(juliet).bodies == [str(number) for number in range(50)]
    assert len(ask(juliet, rsm={"max": 1000}).results) == 250
    assert len(ask(juliet, rsm={"max": 2**31 - 1, "before": ""}).results) == 250


def test_the_operator_says_how_long_pages_are(server, ask):
    host = server.host("capulet.example", mam={"page": 3, "max_page": 4})
    juliet = host.connect(f"{JULIET}/balcony")
    for number in range(6):
        juliet.message(JULIET, str(number))
    assert len(ask(juliet).results) == 3
    assert len(ask(juliet, rsm={"max": 100}).results) == 4


def test_a_page_of_large_messages_is_a_short_one(juliet, romeo, ask):
    for number in range(6):
        romeo.message(JULIET, str(number) + "x" * 100_000)
    answer = ask(juliet)
    assert [body[0] for body in answer.bodies] == ["0", "1"]
    assert not answer.is_complete
    answer = ask(juliet, rsm={"after": answer.of_set("last")})
    assert [body[0] for body in answer.bodies] == ["2", "3"]
    answer = ask(juliet, rsm={"before": ""})
    assert [body[0] for body in answer.bodies] == ["4", "5"]


def test_a_number_that_costs_too_much_to_count_is_left_out(juliet, romeo, ask, monkeypatch):
    from stonechat_mam import pages

    monkeypatch.setattr(pages, "MAX_COUNTED", 5)
    for number in range(6):
        romeo.message(JULIET, str(number))
    ids = ask(juliet).ids
    for rsm, index in (
        ({"max": 2}, "0"),
        ({"max": 2, "after": ids[1]}, ""),
        ({"max": 2, "before": ""}, ""),
        ({"max": 2, "index": 1}, "1"),
    ):
        answer = ask(juliet, rsm=rsm)
        assert answer.of_set("count") is None
        assert answer.index == index
    # Unless it is asked for, or known anyway.
    assert ask(juliet, rsm={"max": 0}).of_set("count") == "6"
    assert ask(juliet).of_set("count") == "6"


# Metadata


def test_metadata_name_the_ends_of_the_archive(people, ask):
    results = ask(people).results
    payload = people.get(Element(NS_MAM, "metadata")).payload
    assert payload.qualified_name == f"{NS_MAM} metadata"
    for name, result in (("start", results[0]), ("end", results[-1])):
        element = payload.find(name)
        assert element.get("id") == result.id
        assert timestamps.read(element.get("timestamp")) == result.stamp


def test_metadata_of_an_empty_archive_are_empty(juliet):
    payload = juliet.get(Element(NS_MAM, "metadata")).payload
    assert payload.qualified_name == f"{NS_MAM} metadata"
    assert payload.elements == []


AUTHENTICATE = (
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>"
    "<initial-response>AGp1bGlldABXaGVyZWZvcmUgYXJ0IHRob3U/</initial-response>"
    "<bind xmlns='urn:xmpp:bind:0'/></authenticate>"
)


def test_a_client_that_binds_within_its_login_gets_them_unasked(server):
    pytest.importorskip("stonechat_sasl2")
    host = server.host("capulet.example", mam={}, sasl2={})
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.message(JULIET, "1")
    expected = juliet.get(Element(NS_MAM, "metadata")).payload
    assert len(expected.elements) == 2
    stream = host.open_stream(tls=True)
    stream.send(AUTHENTICATE)
    bound = stream.receive_element().find("bound", "urn:xmpp:bind:0")
    assert bound.find("metadata", NS_MAM) == expected


def test_a_login_does_not_fail_with_the_archive(server, capulet, people, monkeypatch):
    server.expect_errors()
    ((feature,),) = capulet.kernel.collect("stonechat_bind2_features", {})
    assert feature.always
    assert feature.offer(None) is None
    session = capulet.kernel.session(people.jid)
    wanted = Element(NS_MAM, "metadata")
    assert feature.handle(session, wanted) == people.get(wanted).payload

    def read(work, **_):
        raise StorageError("out of order")

    monkeypatch.setattr(server.kernel.store, "read", read)
    assert feature.handle(session, wanted) is None


# Support


def test_support_is_announced_at_the_account_and_not_at_the_host(server):
    host = server.host("capulet.example", mam={}, disco={})
    juliet = host.connect(f"{JULIET}/balcony")

    def features(to):
        payload = juliet.get(Element(NS_DISCO_INFO, "query"), to).payload
        return {feature.get("var") for feature in payload.find_all("feature")}

    assert features(JULIET) >= {
        NS_MAM,
        f"{NS_MAM}#extended",
        f"{NS_MAM}#groupchat-field",
        "urn:xmpp:sid:0",
        "urn:xmpp:fulltext:0",
        "urn:xmpp:message-retract:1",
        "urn:xmpp:message-retract:1#tombstone",
        NS_RSM,
    }
    assert NS_MAM not in features("capulet.example")


# Troubles


def test_the_store_may_be_away(server, people, monkeypatch):
    server.expect_errors()

    def read(work, **_):
        raise StorageError("out of order")

    monkeypatch.setattr(server.kernel.store, "read", read)
    for type_, payload in (
        ("set", Element(NS_MAM, "query")),
        ("get", Element(NS_MAM, "metadata")),
    ):
        error = error_of(people.request(type_, payload))
        assert (error.condition, error.type) == ("internal-server-error", "wait")
