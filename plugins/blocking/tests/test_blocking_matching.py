"""Which addresses a block list names (XEP-0191, section 6): every one against the text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.jid import JID
from stonechat_blocking.guard import separates
from stonechat_blocking.lists import blocks

# Few and alike, so that they often meet.
localparts = st.sampled_from(["", "romeo", "montague.example", "r"])
domains = st.sampled_from(["montague.example", "sub.montague.example", "example", "r"])
resources = st.sampled_from(["", "orchard", "romeo", "montague.example", "r", "a/b", "x@y"])


@st.composite
def jids(draw):
    return JID.make(draw(localparts), draw(domains), draw(resources))


def is_named(item: JID, jid: JID) -> bool:
    """The four lines of the text, as they stand there."""
    if item.localpart and item.resource:
        return item == jid
    if item.localpart:
        return (item.localpart, item.domain) == (jid.localpart, jid.domain)
    if item.resource:
        return item == jid
    return item.domain == jid.domain


@given(st.lists(jids(), max_size=4), jids())
def test_a_list_names_what_one_of_its_items_names(items, jid):
    blocked = frozenset(item.text for item in items)
    assert blocks(blocked, jid) == any(is_named(item, jid) for item in items)


@given(st.lists(jids(), max_size=4), resources)
def test_no_list_comes_between_an_account_and_itself_or_its_server(items, resource):
    account = JID.parse("romeo@montague.example")
    blocked = frozenset(item.text for item in items)
    own = account.with_resource(resource) if resource else account
    assert not separates(blocked, account, own)
    assert not separates(blocked, account, JID.parse(account.domain))


@pytest.mark.parametrize(
    ("item", "named", "others"),
    [
        (
            "romeo@montague.example/orchard",
            ["romeo@montague.example/orchard"],
            ["romeo@montague.example", "romeo@montague.example/Orchard", "montague.example"],
        ),
        (
            "romeo@montague.example",
            ["romeo@montague.example", "romeo@montague.example/orchard"],
            ["montague.example", "benvolio@montague.example", "romeo@x.montague.example"],
        ),
        (
            "montague.example/orchard",
            ["montague.example/orchard"],
            ["romeo@montague.example/orchard", "montague.example", "montague.example/x"],
        ),
        (
            "montague.example",
            ["montague.example", "romeo@montague.example", "montague.example/x"],
            ["x.montague.example", "romeo@x.montague.example", "example"],
        ),
    ],
)
def test_each_form_of_address(item, named, others):
    blocked = frozenset([item])
    assert all(blocks(blocked, JID.parse(jid)) for jid in named)
    assert not any(blocks(blocked, JID.parse(jid)) for jid in others)


def test_addresses_are_compared_as_prepared(capulet, juliet, montague, talk):
    talk.block(juliet, "ROMEO@Montague.Example")
    romeo = montague.connect("romeo@montague.example/orchard")
    romeo.message(juliet.bare, "But soft!")
    assert romeo.receive_message().type == "error"
    talk.unblock(juliet, "romeo@montague.EXAMPLE")
    assert talk.blocked(juliet) == []
