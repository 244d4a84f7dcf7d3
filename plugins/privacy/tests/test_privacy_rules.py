"""Which item of a list decides (XEP-0016, 2.1 and 2.2): every list against the text."""

from hypothesis import given
from hypothesis import strategies as st

from stonechat.jid import JID
from stonechat_privacy.rules import (
    ALL,
    IQ,
    MESSAGE,
    OTHER,
    PRESENCE_IN,
    PRESENCE_OUT,
    Contact,
    Item,
    Lists,
    PrivacyList,
)

# Few and alike, so that they often meet.
localparts = st.sampled_from(["", "romeo", "montague.example", "r"])
domains = st.sampled_from(["montague.example", "sub.montague.example", "example", "r"])
resources = st.sampled_from(["", "orchard", "romeo", "montague.example", "a/b", "x@y"])
kinds = st.sampled_from([MESSAGE, IQ, PRESENCE_IN, PRESENCE_OUT, OTHER])
groups = st.sampled_from(["Friends", "Enemies", "both"])
subscriptions = st.sampled_from(["both", "to", "from", "none"])


@st.composite
def jids(draw):
    return JID.make(draw(localparts), draw(domains), draw(resources))


@st.composite
def items(draw):
    type_ = draw(st.sampled_from(["", "jid", "group", "subscription"]))
    value = {
        "": st.just(""),
        "jid": jids().map(str),
        "group": groups,
        "subscription": subscriptions,
    }[type_]
    about = st.one_of(st.just(ALL), st.integers(1, MESSAGE | IQ | PRESENCE_IN | PRESENCE_OUT))
    return Item(draw(st.integers(0, 30)), draw(st.booleans()), type_, draw(value), draw(about))


lists = st.lists(items(), max_size=8, unique_by=lambda item: item.order)
contacts = st.builds(Contact, subscriptions, st.lists(groups, unique=True).map(tuple))


def is_about(item, jid, contact):
    if item.type == "jid":
        named = JID.parse(item.value)
        if named.localpart and named.resource:
            return named == jid
        if named.localpart:
            return (named.localpart, named.domain) == (jid.localpart, jid.domain)
        if named.resource:
            return named == jid
        return named.domain == jid.domain
    if item.type == "group":
        return item.value in contact.groups
    if item.type == "subscription":
        return item.value == contact.subscription
    return True


@given(lists, jids(), kinds, contacts)
def test_the_first_item_that_is_about_it_decides(listed, jid, kind, contact):
    rules = PrivacyList(listed)
    wanted = next(
        (
            item
            for item in sorted(listed, key=lambda item: item.order)
            if item.kinds & kind and is_about(item, jid, contact)
        ),
        None,
    )
    assert rules.find(jid, kind, lambda _: contact) == wanted
    assert rules.allows(jid, kind, lambda _: contact) == (wanted is None or wanted.allows)


def no_contact(jid):
    raise AssertionError("the roster was asked in vain")


def test_the_roster_is_not_asked_for_what_an_address_decides():
    rules = PrivacyList(
        [Item(1, False, "jid", "romeo@montague.example"), Item(2, True, "group", "Friends")]
    )
    assert not rules.allows(JID.parse("romeo@montague.example/x"), MESSAGE, no_contact)


@given(lists, st.lists(jids().map(str), max_size=4), jids(), kinds, contacts)
def test_who_is_blocked_is_shut_out_whatever_else_a_list_says(listed, blocked, jid, kind, contact):
    rules = PrivacyList(listed).with_blocked(blocked)
    assert set(blocked) <= rules.blocked
    assert len({item.order for item in rules.items}) == len(rules.items)
    if any(is_about(Item(0, False, "jid", text), jid, contact) for text in blocked):
        assert not rules.allows(jid, kind, lambda _: contact)
    else:
        assert rules.allows(jid, kind, lambda _: contact) == PrivacyList(listed).allows(
            jid, kind, lambda _: contact
        )


@given(lists, st.lists(jids().map(str), max_size=4, unique=True))
def test_unblocking_undoes_a_block(listed, blocked):
    rules = PrivacyList(listed).without_blocked(blocked)
    again = rules.with_blocked(blocked).without_blocked(blocked)
    assert [item[1:] for item in again.items] == [item[1:] for item in rules.items]
    assert not again.blocked & set(blocked)


def test_the_block_list_is_what_the_default_list_denies_altogether():
    rules = PrivacyList(
        [
            Item(1, False, "jid", "a.example"),
            Item(2, True, "jid", "b.example"),
            Item(3, False, "jid", "c.example", MESSAGE),
            Item(4, False, "group", "d.example"),
            Item(5, False),
        ]
    )
    assert Lists("public", {"public": rules}).blocked == {"a.example"}
    assert Lists(None, {"public": rules}).blocked == frozenset()


def test_a_block_makes_a_default_list_of_its_own():
    old = PrivacyList([Item(1, False, "jid", "old.example")])
    before = Lists(None, {"blocked": old, "blocked-2": old})
    lists = before.with_blocked(["new.example"])
    assert lists.default == "blocked-3"
    assert lists.blocked == {"new.example"}
    assert lists.without_blocked(["new.example"]) == Lists(
        None, {"blocked": old, "blocked-2": old}
    )
