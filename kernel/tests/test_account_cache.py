"""Values of accounts in memory: which are there, for how long, and never an old one."""

import gevent
import pytest
from gevent.event import Event

from stonechat import account_cache
from stonechat.account_cache import LARGE, AccountCache
from stonechat.errors import StanzaError, StorageError
from stonechat.storage import StorageFull, StorageUncertain

DEADLINE = 10
NOBODY = frozenset()


class Storage:
    """A store whose writes fail as the test says, before or after they are made."""

    def __init__(self):
        self.fault = None
        self.late_fault = None

    def write(self, work):
        if self.fault is not None:
            raise self.fault
        work(None)
        if self.late_fault is not None:
            raise self.late_fault


class Host:
    def __init__(self):
        self.storage = Storage()
        self.online = set()

    def sessions(self, localpart):
        return ("balcony",) if localpart in self.online else ()


class Friends(AccountCache):
    """Whose friends are whose. A read takes what is stored, and brings it when it may."""

    what = "The list of friends"

    def __init__(self, host, recent):
        super().__init__(host, recent)
        self.stored = {}
        self.asked = []
        self.may_end = Event()
        self.may_end.set()
        self.meanwhile = lambda: None
        self.fault = None

    def load(self, localpart):
        self.asked.append(localpart)
        found = self.stored.get(localpart, NOBODY)
        assert self.may_end.wait(DEADLINE)
        self.meanwhile()
        if self.fault is not None:
            raise self.fault
        return found

    def size(self, value):
        return len(value)

    def add(self, localpart, *friends, during=lambda: None):
        with self.change(localpart) as before:
            after = before | set(friends)
            during()
            self.write(localpart, after, lambda _: self.stored.update({localpart: after}))

    def erase(self, localpart):
        self.remove(localpart, lambda _: self.stored.pop(localpart, None))

    def names(self, *localparts):
        """Those of some accounts that are in memory."""
        return [name for name in localparts if self.known(name) is not None]


@pytest.fixture
def host():
    return Host()


@pytest.fixture
def friends(host):
    return Friends(host, 2)


def spawn(function, *arguments, **options):
    """Run it until it waits for something."""
    greenlet = gevent.spawn(function, *arguments, **options)
    gevent.idle()
    return greenlet


def done(*greenlets):
    return [greenlet.get(timeout=DEADLINE) for greenlet in greenlets]


def many(number):
    return frozenset(f"servant{n}" for n in range(number))


# What is in memory


def test_a_value_is_read_once(friends):
    friends.stored["juliet"] = frozenset({"nurse"})
    assert [friends.of("juliet") for _ in range(3)] == [{"nurse"}] * 3
    assert friends.asked == ["juliet"]


def test_that_there_is_nothing_is_a_value_too(friends):
    for _ in range(3):
        assert friends.of("juliet") == NOBODY
    assert friends.asked == ["juliet"]


def test_what_is_known_is_looked_up_without_a_read(friends):
    assert friends.known("juliet") is None
    assert friends.asked == []
    friends.of("juliet")
    assert friends.known("juliet") == NOBODY
    assert friends.asked == ["juliet"]


def test_who_is_online_stays_in_memory(host, friends):
    host.online = {"juliet", "romeo", "tybalt"}
    for name in (*host.online, "a", "b", "c", "d"):
        friends.of(name)
    assert sorted(friends.names(*host.online)) == ["juliet", "romeo", "tybalt"]
    assert len(friends) == 5


@pytest.mark.parametrize("look", ["of", "known"])
def test_of_the_others_the_last_used_ones_stay(friends, look):
    for name in ("a", "b"):
        friends.of(name)
    getattr(friends, look)("a")
    friends.of("c")
    assert friends.names("a", "b", "c") == ["a", "c"]
    assert len(friends) == 2


def test_there_may_be_none_of_the_others(host):
    friends = Friends(host, 0)
    assert friends.of("juliet") == friends.of("juliet") == NOBODY
    assert len(friends) == 0


@pytest.mark.parametrize("look", ["of", "known"])
def test_who_comes_online_stays_from_the_next_look_on(host, friends, look):
    friends.of("juliet")
    host.online.add("juliet")
    getattr(friends, look)("juliet")
    for name in ("a", "b", "c"):
        friends.of(name)
    assert friends.names("juliet", "a", "b", "c") == ["juliet", "b", "c"]


def test_who_goes_is_one_of_the_others(host, friends):
    host.online.add("juliet")
    friends.of("juliet")
    friends.release("juliet")  # of one session, but not of the last
    for name in ("a", "b"):
        friends.of(name)
    assert len(friends) == 3
    host.online.clear()
    friends.release("juliet")
    assert friends.names("juliet", "a", "b") == ["juliet", "b"]
    friends.release("nurse")
    assert len(friends) == 2


def test_what_is_large_is_kept_while_its_owner_is_online(host, friends):
    friends.stored = {"juliet": many(LARGE), "romeo": many(LARGE + 1)}
    host.online = {"juliet", "romeo"}
    for name in host.online:
        friends.of(name)
    assert len(friends) == 2
    host.online.clear()
    for name in ("juliet", "romeo"):
        friends.release(name)
    assert friends.names("juliet", "romeo") == ["juliet"]
    assert len(friends.of("romeo")) == LARGE + 1
    assert friends.names("juliet", "romeo") == ["juliet"]


def test_without_a_size_nothing_is_large(host):
    class Names(AccountCache):
        def load(self, localpart):
            return many(LARGE + 1)

    names = Names(host, 1)
    names.of("juliet")
    assert len(names) == 1


def test_what_is_forgotten_is_read_anew(host, friends):
    host.online.add("juliet")
    for name in ("juliet", "nurse"):
        friends.of(name)
        friends.stored[name] = frozenset({"paris"})
        friends.forget(name)
        assert friends.of(name) == {"paris"}
    friends.stored.clear()
    friends.forget_all()
    assert len(friends) == 0
    assert friends.of("juliet") == friends.of("nurse") == NOBODY


# Changes


def test_a_change_is_stored_before_anybody_sees_it(friends):
    friends.of("juliet")
    seen = []
    with friends.change("juliet") as before:
        friends.write("juliet", before | {"nurse"}, lambda _: seen.append(friends.of("juliet")))
    assert seen == [NOBODY]
    assert friends.of("juliet") == {"nurse"}
    assert friends.asked == ["juliet"]


def test_changes_of_an_account_are_made_one_after_the_other(friends):
    names = [f"servant{number}" for number in range(5)]
    done(*[gevent.spawn(friends.add, "juliet", name, during=gevent.idle) for name in names])
    assert friends.of("juliet") == friends.stored["juliet"] == set(names)


def test_during_a_change_others_see_what_was_before(friends):
    friends.of("juliet")
    go_on = Event()
    changing = spawn(friends.add, "juliet", "nurse", during=go_on.wait)
    assert friends.of("juliet") == NOBODY
    go_on.set()
    done(changing)
    assert friends.of("juliet") == {"nurse"}


def test_whoever_changes_an_account_may_look_at_it(friends):
    seen = []

    def look():
        friends.forget("juliet")
        friends.stored["juliet"] = frozenset({"paris"})
        seen.append(friends.of("juliet"))

    friends.add("juliet", "nurse", during=look)
    assert seen == [{"paris"}]
    # It was made from what was there before Paris came: what is stored decides.
    assert friends.known("juliet") is None
    with friends.change("juliet"):
        assert friends.of("juliet") == {"nurse"}
    friends.forget("juliet")
    assert friends.of("juliet") == friends.known("juliet") == {"nurse"}


def test_a_change_that_is_given_up_changes_nothing(friends):
    with pytest.raises(ValueError, match="no"), friends.change("juliet"):
        raise ValueError("no")
    friends.add("juliet", "nurse")
    assert friends.of("juliet") == {"nurse"}


def test_of_what_is_written_with_no_value_none_is_kept(friends):
    friends.add("juliet", "nurse")
    with friends.change("juliet"):
        friends.write("juliet", None, lambda _: friends.stored.update(juliet={"paris"}))
    assert friends.of("juliet") == {"paris"}


def test_a_write_by_somebody_who_is_not_alone_is_looked_up(friends):
    friends.of("juliet")
    friends.write("juliet", frozenset({"paris"}), lambda _: None)
    assert friends.known("juliet") is None
    assert friends.of("juliet") == NOBODY


# At the same time


def test_those_who_want_the_same_at_once_wait_for_one_read(friends):
    friends.may_end.clear()
    readers = [spawn(friends.of, "juliet") for _ in range(3)]
    friends.may_end.set()
    assert done(*readers) == [NOBODY] * 3
    assert friends.asked == ["juliet"]


def test_nobody_waits_for_another_account(friends):
    friends.of("nurse")
    friends.may_end.clear()
    reader = spawn(friends.of, "juliet")
    with friends.change("nurse"):
        assert friends.of("nurse") == NOBODY
    friends.may_end.set()
    done(reader)


def test_a_read_that_a_change_would_overtake_is_waited_for(friends):
    friends.may_end.clear()
    reader = spawn(friends.of, "juliet")
    changing = spawn(friends.add, "juliet", "nurse")
    friends.may_end.set()
    assert done(reader, changing) == [NOBODY, None]
    assert friends.of("juliet") == {"nurse"}


def test_a_read_during_a_change_waits_for_it(friends):
    go_on = Event()
    changing = spawn(friends.add, "juliet", "nurse", during=go_on.wait)
    friends.forget("juliet")
    reader = spawn(friends.of, "juliet")
    go_on.set()
    assert done(changing, reader) == [None, {"nurse"}]


@pytest.mark.parametrize("forget", [lambda all_: all_.forget("juliet"), Friends.forget_all])
def test_what_is_forgotten_while_it_is_read_is_read_again(friends, forget):
    def overtake():
        friends.meanwhile = lambda: None
        friends.stored["juliet"] = frozenset({"paris"})
        forget(friends)

    friends.meanwhile = overtake
    assert friends.of("juliet") == {"paris"}
    assert friends.known("juliet") == {"paris"}


def test_but_not_for_ever(friends):
    friends.meanwhile = lambda: friends.forget("juliet")
    friends.add("juliet", "nurse")
    assert len(friends.asked) == account_cache.READS
    assert friends.known("juliet") is None


@pytest.mark.parametrize("forget", [lambda all_: all_.forget("juliet"), Friends.forget_all])
def test_what_is_forgotten_while_it_is_changed_is_not_kept(host, friends, forget):
    host.online.add("juliet")
    friends.add("juliet", "nurse", during=lambda: forget(friends))
    assert friends.known("juliet") is None
    assert friends.of("juliet") == {"nurse"}
    friends.add("juliet", "paris")
    assert friends.known("juliet") == {"nurse", "paris"}


@pytest.mark.parametrize("is_known", [True, False])
def test_the_last_session_may_end_during_a_change(host, friends, is_known):
    host.online.add("juliet")
    if is_known:
        friends.of("juliet")
    go_on = Event()
    changing = spawn(friends.add, "juliet", *many(LARGE + 1), during=go_on.wait)
    host.online.clear()
    friends.release("juliet")
    go_on.set()
    done(changing)
    assert len(friends) == 0
    assert friends.of("juliet") == many(LARGE + 1)


def test_sessions_may_come_and_go_during_a_read(host, friends):
    friends.may_end.clear()
    host.online.add("juliet")
    readers = [spawn(friends.of, name) for name in ("juliet", "romeo")]
    host.online = {"romeo"}
    friends.release("juliet")
    friends.may_end.set()
    done(*readers)
    for name in ("a", "b"):
        friends.of(name)
    assert friends.names("juliet", "romeo") == ["romeo"]


def test_whoever_waits_too_long_is_refused(host, monkeypatch):
    monkeypatch.setattr(account_cache, "LOCK_SECONDS", 0)
    friends = Friends(host, 2)
    friends.may_end.clear()
    reader = spawn(friends.of, "juliet")
    for wait in (friends.of, friends.add, friends.erase):
        with pytest.raises(StanzaError) as refused:
            wait("juliet")
        assert (refused.value.condition, refused.value.type) == ("resource-constraint", "wait")
    friends.may_end.set()
    assert done(reader) == [NOBODY]


def test_a_reader_that_is_killed_is_in_nobodys_way(friends):
    friends.may_end.clear()
    reader = spawn(friends.of, "juliet")
    reader.kill()
    friends.may_end.set()
    friends.add("juliet", "nurse")
    assert friends.known("juliet") == {"nurse"}


# Removal


def test_a_removed_account_leaves_nothing(friends):
    friends.add("juliet", "nurse")
    friends.erase("juliet")
    assert len(friends) == 0
    assert friends.of("juliet") == NOBODY


def test_a_removal_waits_for_a_change(friends):
    go_on = Event()
    changing = spawn(friends.add, "juliet", "nurse", during=go_on.wait)
    removing = spawn(friends.erase, "juliet")
    go_on.set()
    done(changing, removing)
    assert friends.stored == {}
    assert friends.of("juliet") == NOBODY


def test_a_read_under_way_brings_nothing_back_of_a_removed_account(host, friends):
    host.online.add("juliet")
    friends.stored["juliet"] = frozenset({"nurse"})
    friends.may_end.clear()
    reader = spawn(friends.of, "juliet")
    removing = spawn(friends.erase, "juliet")
    friends.may_end.set()
    done(reader, removing)
    assert friends.known("juliet") is None
    assert friends.of("juliet") == NOBODY


# A store that fails

FAULTS = [
    (StorageError("gone"), "internal-server-error", "The list of friends cannot be reached."),
    (StorageFull("full"), "resource-constraint", "The server has no room."),
]


def refused(call, *arguments):
    with pytest.raises(StanzaError) as refused:
        call(*arguments)
    return refused.value.condition, refused.value.type, refused.value.text


@pytest.mark.parametrize(("fault", "condition", "text"), FAULTS)
def test_what_cannot_be_read_is_refused_for_now(friends, fault, condition, text):
    friends.fault = fault
    for call in (friends.of, friends.add):
        assert refused(call, "juliet") == (condition, "wait", text)
    assert len(friends) == 0
    friends.fault = None
    assert friends.of("juliet") == NOBODY


@pytest.mark.parametrize(("fault", "condition", "text"), FAULTS)
def test_what_cannot_be_written_is_refused_for_now(host, friends, fault, condition, text):
    friends.add("juliet", "nurse")
    host.storage.fault = fault
    assert refused(friends.add, "juliet", "paris") == (condition, "wait", text)
    assert refused(friends.erase, "juliet") == (condition, "wait", text)
    assert friends.of("juliet") == {"nurse"}


def test_what_may_have_been_written_is_looked_up(host, friends):
    friends.add("juliet", "nurse")
    host.storage.late_fault = StorageUncertain("too late")
    assert refused(friends.add, "juliet", "paris")[0] == "internal-server-error"
    assert friends.of("juliet") == {"nurse", "paris"}
    assert refused(friends.erase, "juliet")[0] == "internal-server-error"
    assert friends.of("juliet") == NOBODY


def test_who_is_online_needs_no_store(host, friends):
    host.online.add("juliet")
    friends.of("juliet")
    friends.fault = StorageError("gone")
    for name in ("a", "b", "c"):
        refused(friends.of, name)
    assert friends.of("juliet") == NOBODY


def test_an_error_that_is_none_of_the_store_is_passed_on(friends):
    friends.fault = StanzaError("item-not-found")
    assert refused(friends.of, "juliet")[0] == "item-not-found"
    friends.fault = None
    assert friends.of("juliet") == NOBODY

    def fail(connection):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), friends.change("juliet") as before:
        friends.write("juliet", before | {"nurse"}, fail)
    assert friends.known("juliet") == NOBODY
