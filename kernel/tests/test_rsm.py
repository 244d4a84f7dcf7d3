"""XEP-0059: pages of a list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.errors import StanzaError
from stonechat.rsm import NS_RSM, Page, ResultSet, page_of, read, written
from stonechat.xml import Element, parse

CAST = ["balthasar", "benvolio", "juliet", "mercutio", "nurse", "paris", "romeo", "tybalt"]

SMALL = st.integers(0, 12)


def requested(inside, limit=50):
    return read(
        parse(f"<query><set xmlns='{NS_RSM}'>{inside}</set></query>".encode()), limit=limit
    )


def page(request, limit=50, items=CAST):
    return page_of(items, str, request, limit)


def refused(condition, function, *arguments, **keywords):
    with pytest.raises(StanzaError) as caught:
        function(*arguments, **keywords)
    assert caught.value.condition == condition


# Requests


def test_a_payload_may_ask_for_no_page():
    assert read(Element("jabber:iq:search", "query"), limit=50) is None


@pytest.mark.parametrize(
    ("inside", "request_"),
    [
        ("", ResultSet()),
        ("<max>10</max>", ResultSet(10)),
        ("<max> +010\n</max>", ResultSet(10)),
        ("<max>0</max>", ResultSet(0)),
        ("<max>2147483647</max>", ResultSet(50)),
        ("<max>10</max><after>nurse</after>", ResultSet(10, after="nurse")),
        ("<max>10</max><after/>", ResultSet(10)),
        ("<before>nurse</before>", ResultSet(before="nurse")),
        ("<before/><max>10</max>", ResultSet(10, before="")),
        ("<after/><before/>", ResultSet(before="")),
        ("<max>10</max><index>371</index>", ResultSet(10, index=371)),
        ("<after> a\nb </after>", ResultSet(after=" a\nb ")),
        ("<count>8</count><first>a</first><last>b</last><max>1</max>", ResultSet(1)),
        ("<max xmlns='urn:other'>x</max>", ResultSet()),
    ],
)
def test_reads_a_request(inside, request_):
    assert requested(inside) == request_


@pytest.mark.parametrize(
    "inside",
    [
        "<max/>",
        "<max>ten</max>",
        "<max>-1</max>",
        "<max>1.5</max>",
        "<max>1e3</max>",
        "<max>1 0</max>",
        "<max>١٠</max>",
        "<max>2147483648</max>",
        "<max>99999999999999999999999999</max>",
        "<max>1</max><max>1</max>",
        "<index/>",
        "<index>-1</index>",
        "<index>2147483648</index>",
        "<index>1</index><after>nurse</after>",
        "<index>1</index><before/>",
        "<after>juliet</after><before>romeo</before>",
        "<after>juliet</after><before/>",
        "<after>juliet</after><after>juliet</after>",
        f"<after>{'a' * 4097}</after>",
        f"<before>{'a' * 4097}</before>",
    ],
)
def test_refuses_a_malformed_request(inside):
    refused("bad-request", requested, inside)


def test_a_long_number_costs_no_time():
    refused("bad-request", requested, f"<max>{'9' * 200_000}</max>")
    assert requested(f"<max>{'0' * 200_000}7</max>") == ResultSet(7)


@given(
    st.dictionaries(
        st.sampled_from(["max", "after", "before", "index", "first", "count"]),
        st.text() | st.from_regex(r"[ +-]?[0-9]{0,12}", fullmatch=True),
    ),
    st.integers(0, 1000),
)
def test_no_request_does_worse_than_a_stanza_error(parts, limit):
    element = Element(NS_RSM, "set")
    for name, text in parts.items():
        element.add(name, text)
    try:
        request = read(Element("urn:q", "query", None, element), limit=limit)
    except StanzaError:
        return
    assert request.max is None or 0 <= request.max <= limit
    assert request.index is None or request.index >= 0
    assert [request.after, request.before, request.index].count(None) >= 2


# Answers


def test_an_answer_tells_of_the_page():
    element = written(Page("stpeter@jabber.org", "peterpan@neverland.lit", 800, 0))
    assert element == parse(
        b"<set xmlns='http://jabber.org/protocol/rsm'>"
        b"<first index='0'>stpeter@jabber.org</first>"
        b"<last>peterpan@neverland.lit</last><count>800</count></set>"
    )


def test_an_answer_leaves_out_what_was_not_counted():
    assert written(Page("a", "b")) == parse(
        b"<set xmlns='http://jabber.org/protocol/rsm'><first>a</first><last>b</last></set>"
    )


def test_an_empty_page_has_neither_a_first_nor_a_last():
    assert written(Page(count=790)) == parse(
        b"<set xmlns='http://jabber.org/protocol/rsm'><count>790</count></set>"
    )


# Pages of a list in memory


@pytest.mark.parametrize(
    ("request_", "names", "index"),
    [
        (ResultSet(3), CAST[:3], 0),
        (ResultSet(), CAST, 0),
        (ResultSet(50), CAST, 0),
        (ResultSet(3, after="juliet"), CAST[3:6], 3),
        (ResultSet(3, after="paris"), CAST[6:], 6),
        (ResultSet(3, before="mercutio"), CAST[:3], 0),
        (ResultSet(3, before="benvolio"), CAST[:1], 0),
        (ResultSet(3, before="tybalt"), CAST[4:7], 4),
        (ResultSet(3, before=""), CAST[5:], 5),
        (ResultSet(3, index=0), CAST[:3], 0),
        (ResultSet(3, index=7), CAST[7:], 7),
    ],
)
def test_gives_the_page_that_is_wanted(request_, names, index):
    assert page(request_) == (names, written(Page(names[0], names[-1], 8, index)))


@pytest.mark.parametrize(
    "request_",
    [
        ResultSet(0),
        ResultSet(0, after="juliet"),
        ResultSet(0, before=""),
        ResultSet(3, after="tybalt"),
        ResultSet(3, before="balthasar"),
        ResultSet(3, index=8),
        ResultSet(3, index=2**31 - 1),
    ],
)
def test_an_empty_page_tells_how_many_there_are(request_):
    assert page(request_) == ([], written(Page(count=8)))


@pytest.mark.parametrize(
    "request_", [ResultSet(3, after="rosaline"), ResultSet(before="rosaline")]
)
@pytest.mark.parametrize("items", [CAST, []])
def test_there_is_no_page_beside_an_unknown_item(request_, items):
    refused("item-not-found", page, request_, items=items)


@pytest.mark.parametrize("request_", [None, ResultSet(3), ResultSet(0), ResultSet(before="")])
def test_of_nothing_there_is_nothing_to_tell(request_):
    assert page(request_, items=[]) == ([], None)


def test_who_asks_for_no_page_gets_all():
    assert page(None, limit=8) == (CAST, None)


def test_who_asks_for_no_page_of_too_many_gets_the_first():
    assert page(None, limit=7) == (CAST[:7], written(Page("balthasar", "romeo", 8, 0)))


def test_a_page_is_no_longer_than_the_limit():
    assert page(ResultSet(5), limit=2)[0] == CAST[:2]
    assert page(ResultSet(5, before=""), limit=2)[0] == CAST[-2:]


@given(st.lists(st.text(min_size=1), unique=True), st.integers(1, 12), SMALL)
def test_pages_forwards_are_the_whole_list_in_order(items, most, limit):
    request, seen = ResultSet(most), []
    while True:
        chosen, _ = page(request, limit + 1, items)
        if not chosen:
            break
        assert len(chosen) <= min(most, limit + 1)
        seen += chosen
        request = ResultSet(most, after=chosen[-1])
    assert seen == items


@given(st.lists(st.text(min_size=1), unique=True), st.integers(1, 12))
def test_pages_backwards_are_the_whole_list_too(items, most):
    request, seen = ResultSet(most, before=""), []
    while True:
        chosen, _ = page(request, 50, items)
        if not chosen:
            break
        seen = chosen + seen
        request = ResultSet(most, before=chosen[0])
    assert seen == items


@given(st.lists(st.text(min_size=1), unique=True, min_size=1), st.none() | SMALL, SMALL)
def test_a_page_by_index_begins_there(items, most, index):
    chosen, element = page(ResultSet(most, index=index), 50, items)
    assert chosen == items[index:][:most]
    if chosen:
        assert element.find("first").get("index") == str(index)
