"""Who has logged in once is remembered: over restarts, for each host, and in order."""

import pytest

from stonechat import seen_accounts
from stonechat.errors import StorageError
from stonechat.seen_accounts import SeenAccounts, seen_schema

SCHEMA = seen_schema("auth_example")


class Bystander:
    """A plugin that lends its host."""

    def __init__(self, host, options):
        self.host = host


@pytest.fixture
def face(server):
    def make(domain="capulet.example"):
        host = server.host(domain, plugin_classes={"bystander": Bystander})
        face = host.plugin("bystander").host
        face.storage.ensure(SCHEMA)
        return face

    return make


def test_who_was_noted_has_been_here(face):
    host = face()
    seen = SeenAccounts(host, SCHEMA)
    assert not seen.has("juliet")
    seen.note("juliet")
    seen.note("juliet")
    assert seen.has("juliet")
    assert not seen.has("romeo")
    assert SeenAccounts(host, SCHEMA).has("juliet")


def test_each_host_has_its_own(face):
    seen = SeenAccounts(face(), SCHEMA)
    seen.note("juliet")
    other = SeenAccounts(face("montague.example"), SCHEMA)
    assert not other.has("juliet")
    assert other.count() == 0


def test_they_are_listed_page_by_page(face):
    seen = SeenAccounts(face(), SCHEMA)
    for name in ("romeo", "benvolio", "ωmega", "juliet"):
        seen.note(name)
    assert seen.names() == ["benvolio", "juliet", "romeo", "ωmega"]
    assert seen.names("benvolio", 2) == ["juliet", "romeo"]
    assert seen.names("ωmega") == []
    assert seen.count() == 4


def test_who_comes_often_costs_no_look_into_the_database(face, monkeypatch):
    host = face()
    seen = SeenAccounts(host, SCHEMA)
    seen.note("juliet")

    def fail(*arguments, **options):
        raise StorageError("the disk is gone")

    monkeypatch.setattr(host._kernel.storage, "read", fail)
    monkeypatch.setattr(host._kernel.storage, "write", fail)
    seen.note("juliet")
    assert seen.has("juliet")
    with pytest.raises(StorageError):
        seen.note("romeo")


def test_what_is_kept_in_memory_has_a_bound(face, monkeypatch):
    monkeypatch.setattr(seen_accounts, "MAX_KNOWN", 2)
    seen = SeenAccounts(face(), SCHEMA)
    for name in ("benvolio", "juliet", "romeo"):
        seen.note(name)
    assert list(seen._known) == ["juliet", "romeo"]
    assert seen.has("benvolio")
    assert list(seen._known) == ["romeo", "benvolio"]
