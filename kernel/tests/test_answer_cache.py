"""What a store has answered is known for a while, and no longer."""

import gc

import pytest

from stonechat.answer_cache import AnswerCache, CacheOptions


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cache(clock):
    return AnswerCache(clock, size=3, existence=60, absence=10, password=30)


def test_knows_nothing_at_first(cache):
    assert cache.exists("juliet") is None
    assert not cache.password_is_right("juliet", "R0m30")


def test_a_right_password_is_known_until_its_time_is_over(cache, clock):
    cache.remember_password("juliet", "R0m30")
    clock.now += 29.9
    assert cache.password_is_right("juliet", "R0m30")
    clock.now += 0.1
    assert not cache.password_is_right("juliet", "R0m30")
    assert cache.figures.entries == 0


@pytest.mark.parametrize(
    ("localpart", "password"), [("juliet", "r0m30"), ("romeo", "R0m30"), ("juliet", "")]
)
def test_no_other_password_is_right_and_no_other_account(cache, localpart, password):
    cache.remember_password("juliet", "R0m30")
    assert not cache.password_is_right(localpart, password)


def test_the_latest_right_password_is_the_one_that_is_known(cache):
    cache.remember_password("juliet", "R0m30")
    cache.remember_password("juliet", "P4r1s")
    assert cache.password_is_right("juliet", "P4r1s")
    assert not cache.password_is_right("juliet", "R0m30")


def test_a_password_that_is_no_text_is_only_wrong(cache):
    cache.remember_password("juliet", "R0m30")
    assert not cache.password_is_right("juliet", "\ud800")


def test_keeps_no_password_as_text(cache):
    password = "".join(["wherefore", " art thou"])
    cache.remember_password("juliet", password)
    held = [thing for thing in gc.get_referrers(password) if thing is not globals()]
    assert not [thing for thing in held if isinstance(thing, dict | tuple | list)]
    digests = [entry[1] for entry in cache._proofs._entries.values()]
    other = AnswerCache(Clock(), existence=0, absence=0, password=30)
    other.remember_password("juliet", password)
    # Another process, another key: the digest of one opens nothing elsewhere.
    assert digests != [entry[1] for entry in other._proofs._entries.values()]


def test_existence_and_absence_have_a_time_each(cache, clock):
    cache.remember_existence("juliet", True)
    cache.remember_existence("rosaline", False)
    assert cache.exists("juliet") is True
    assert cache.exists("rosaline") is False
    clock.now += 10
    assert cache.exists("juliet") is True
    assert cache.exists("rosaline") is None
    clock.now += 50
    assert cache.exists("juliet") is None


def test_who_is_gone_has_no_password_any_more(cache):
    cache.remember_existence("juliet", True)
    cache.remember_password("juliet", "R0m30")
    cache.remember_existence("juliet", False)
    assert cache.exists("juliet") is False
    assert not cache.password_is_right("juliet", "R0m30")


def test_who_has_come_is_not_absent_any_more(cache):
    cache.remember_existence("juliet", False)
    cache.remember_existence("juliet", True)
    assert cache.exists("juliet") is True
    assert cache.figures.entries == 1


def test_what_is_forgotten_is_forgotten_at_once(cache):
    cache.remember_existence("juliet", True)
    cache.remember_password("juliet", "R0m30")
    cache.remember_existence("romeo", True)
    cache.forget("juliet")
    assert cache.exists("juliet") is None
    assert not cache.password_is_right("juliet", "R0m30")
    assert cache.exists("romeo") is True


def test_an_answer_that_a_change_has_overtaken_is_not_kept(cache):
    asked_at = cache.generation
    cache.forget("juliet")
    cache.remember_password("juliet", "R0m30", asked_at)
    cache.remember_existence("juliet", True, asked_at)
    assert not cache.password_is_right("juliet", "R0m30")
    assert cache.exists("juliet") is None
    cache.remember_password("juliet", "R0m30", cache.generation)
    assert cache.password_is_right("juliet", "R0m30")


def test_what_is_off_is_not_remembered_nor_counted():
    cache = AnswerCache(Clock(), existence=0, absence=0, password=0)
    cache.remember_password("juliet", "R0m30")
    cache.remember_existence("juliet", True)
    cache.remember_existence("rosaline", False)
    assert not cache.password_is_right("juliet", "R0m30")
    assert cache.exists("juliet") is cache.exists("rosaline") is None
    assert cache.figures == (0, 0, 0)


def test_holds_so_much_and_the_least_recently_used_go(cache):
    for name in ("benvolio", "juliet", "romeo"):
        cache.remember_existence(name, True)
    assert cache.exists("benvolio")
    cache.remember_existence("tybalt", True)
    assert cache.exists("benvolio")
    assert cache.exists("juliet") is None
    assert cache.figures.entries == 3


def test_guessing_names_turns_nobody_out_who_has_an_account(cache):
    cache.remember_existence("juliet", True)
    cache.remember_password("juliet", "R0m30")
    for number in range(100):
        cache.remember_existence(f"guess{number}", False)
    assert cache.exists("juliet")
    assert cache.password_is_right("juliet", "R0m30")
    assert cache.figures.entries == 5


def test_counts_hits_and_misses(cache):
    cache.exists("juliet")
    cache.remember_existence("juliet", True)
    cache.exists("juliet")
    cache.remember_password("juliet", "R0m30")
    cache.password_is_right("juliet", "R0m30")
    cache.password_is_right("juliet", "P4r1s")
    assert cache.figures == (2, 2, 2)


def test_is_made_from_options_and_remembers_no_password_unless_told_to(clock):
    cache = CacheOptions().make_cache(clock)
    cache.remember_password("juliet", "R0m30")
    cache.remember_existence("juliet", True)
    cache.remember_existence("rosaline", False)
    assert not cache.password_is_right("juliet", "R0m30")
    clock.now += 10
    assert cache.exists("juliet") is True
    assert cache.exists("rosaline") is None
    clock.now += 50
    assert cache.exists("juliet") is None
    cache = CacheOptions(cache_password="5 min", cache_size=1).make_cache(clock)
    cache.remember_password("juliet", "R0m30")
    assert cache.password_is_right("juliet", "R0m30")
    cache.remember_password("romeo", "Jul13t")
    assert cache.figures.entries == 1
