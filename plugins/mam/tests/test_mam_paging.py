"""Whatever is in an archive, and however long the pages: each message comes once, in order."""

from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT
from stonechat.stanza import Message
from stonechat.xml import Element

PEERS = [
    JID.parse(f"{name}@montague.example/{where}") for name in ("romeo", "nurse") for where in "ab"
]

archives = st.lists(st.sampled_from(range(len(PEERS))), max_size=40)
pages = st.integers(1, 12)
quickly = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def archive_of(server, capulet):
    """Makes an account with these messages, by index of their senders; returns its client."""
    plugin = capulet.plugin("mam")
    numbers = count()

    def make(senders):
        client = capulet.connect(f"juliet{next(numbers)}@capulet.example/balcony")
        account = plugin.archive.accounts.get(client.bare.localpart).number
        # Another one's messages lie between.
        other = plugin.archive.accounts.get("tybalt").number
        rows = []
        for place, sender in enumerate(senders):
            body = Element(NS_CLIENT, "body", None, str(place))
            peer = PEERS[sender]
            for owner in (account, other):
                message = Message(body, from_=peer, to=client.bare, type="chat")
                rows.append(plugin.archive.recorder.row(owner, peer, peer, message))
        if rows:
            capulet.kernel.storage.write(
                lambda connection: plugin.archive.recorder.write_rows(connection, rows)
            )
            plugin.archive.recorder.catalogue.update()
        return client

    return make


def forwards(ask, client, size, **filters):
    """All pages from the beginning on, as lists of texts."""
    found = []
    after = None
    while True:
        rsm = {"max": size} if after is None else {"max": size, "after": after}
        answer = ask(client, rsm=rsm, **filters)
        assert len(answer.results) <= size
        if answer.results:
            assert (answer.of_set("first"), answer.of_set("last")) == (
                answer.ids[0],
                answer.ids[-1],
            )
            assert answer.index == str(len(found))
        found += answer.bodies
        if answer.is_complete:
            return found
        assert len(answer.results) == size
        after = answer.of_set("last")


def backwards(ask, client, size, **filters):
    """The same from the end on."""
    found = []
    before = ""
    while True:
        answer = ask(client, rsm={"max": size, "before": before}, **filters)
        assert len(answer.results) <= size
        found = answer.bodies + found
        if answer.is_complete:
            return found
        assert len(answer.results) == size
        before = answer.of_set("first")


@quickly
@given(senders=archives, size=pages)
def test_all_pages_together_are_the_archive(archive_of, ask, senders, size):
    client = archive_of(senders)
    expected = [str(place) for place in range(len(senders))]
    assert forwards(ask, client, size) == expected
    assert backwards(ask, client, size) == expected


@quickly
@given(senders=archives, size=pages, wanted=st.integers(0, len(PEERS) - 1), full=st.booleans())
def test_so_they_are_with_somebody(archive_of, ask, senders, size, wanted, full):
    client = archive_of(senders)
    peer = PEERS[wanted] if full else PEERS[wanted].bare
    expected = [
        str(place)
        for place, sender in enumerate(senders)
        if PEERS[sender] == peer or PEERS[sender].bare == peer
    ]
    # Counting costs more where it is a full address, and is left out of long results.
    if not full:
        assert forwards(ask, client, size, with_=peer) == expected
    assert backwards(ask, client, size, with_=peer) == expected


@quickly
@given(
    senders=st.lists(st.just(0), min_size=1, max_size=30),
    size=pages,
    bounds=st.tuples(st.integers(0, 29), st.integers(0, 29)),
)
def test_so_they_are_between_two_messages(archive_of, ask, senders, size, bounds):
    client = archive_of(senders)
    ids = ask(client).ids
    low, high = (min(bound, len(ids) - 1) for bound in bounds)
    expected = [str(place) for place in range(low + 1, high)]
    between = {"after_id": ids[low], "before_id": ids[high]}
    assert forwards(ask, client, size, **between) == expected
    assert backwards(ask, client, size, **between) == expected


@quickly
@given(senders=st.lists(st.just(0), max_size=30), size=pages)
def test_so_they_are_by_index(archive_of, ask, senders, size):
    client = archive_of(senders)
    found = []
    while True:
        answer = ask(client, rsm={"max": size, "index": len(found)})
        assert answer.of_set("count") == str(len(senders))
        found += answer.bodies
        if answer.is_complete:
            break
    assert found == [str(place) for place in range(len(senders))]


def test_what_comes_between_two_pages_is_neither_lost_nor_twice(juliet, romeo, ask):
    for number in range(4):
        romeo.message(juliet.bare, str(number))
    first = ask(juliet, rsm={"max": 3})
    romeo.message(juliet.bare, "4")
    second = ask(juliet, rsm={"max": 3, "after": first.of_set("last")})
    assert first.bodies + second.bodies == list("01234")
    assert second.is_complete
