"""Accounts in the store: the contract of every backend, and what is this one's own."""

import gevent
import pytest
from gevent.event import Event
from sqlalchemy import text

from stonechat.auth import AuthUnavailable, check_against_scram, derive_scram
from stonechat.errors import StorageError
from stonechat.storage import StorageUncertain
from stonechat.testing import AuthBackendContract
from stonechat_auth_internal import Backend, Options
from stonechat_auth_internal.cache import MAX_KNOWN, MAX_UNKNOWN, AccountCache

PASSWORD = "R0m30 & Juliet"
FAST = {"iterations": 4096}


class Bystander:
    """A plugin that lends its host, as any third party has one."""

    def __init__(self, host, options):
        self.host = host


@pytest.fixture
def host(server):
    host = server.host("capulet.example", plugin_classes={"bystander": Bystander})
    face = host.plugin("bystander").host
    face.storage.ensure(Backend.schema)
    return face


@pytest.fixture
def make(host):
    def make_backend(**options):
        backend = Backend(host, Options(**FAST | options))
        backend.start()
        return backend

    return make_backend


class TestInternal(AuthBackendContract):
    @pytest.fixture
    def backend(self, make):
        return make()


class TestInternalWithPlainPasswords(AuthBackendContract):
    @pytest.fixture
    def backend(self, make):
        return make(store="plain")


@pytest.fixture
def hashings(host, monkeypatch):
    """What was done in the thread pool: every hashing of a password is."""
    calls = []
    run_blocking = host.run_blocking

    def counted(call, *arguments):
        calls.append(call.__name__)
        return run_blocking(call, *arguments)

    monkeypatch.setattr(host, "run_blocking", counted)
    return calls


@pytest.fixture
def reads(server, monkeypatch):
    """The works that read from the store."""
    works = []
    read = server.kernel.store.read

    def counted(work, **options):
        works.append(work.__name__)
        return read(work, **options)

    monkeypatch.setattr(server.kernel.store, "read", counted)
    return works


def rows(host):
    return host.storage.read(
        lambda connection: connection.exec_driver_sql("SELECT * FROM auth_internal_accounts").all()
    )


# In service


def test_clients_log_in_against_it(server):
    server.configure(auth=["internal"], auth_options={"internal": FAST})
    host = server.host("capulet.example")
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    assert juliet.jid.localpart == "juliet"
    server.restart()
    assert host.connect("juliet@capulet.example/balcony", PASSWORD)


# What is kept


def test_nothing_that_is_kept_opens_the_account(host, make):
    make().create_user("juliet", PASSWORD)
    (row,) = rows(host)
    assert row.host == "capulet.example"
    assert row.password is None
    assert PASSWORD not in str(row)


def test_each_hash_has_a_salt_of_its_own(make):
    backend = make()
    backend.create_user("juliet", PASSWORD)
    backend.create_user("romeo", PASSWORD)
    salts = {
        backend.scram_credentials(name, hash_name).salt
        for name in ("juliet", "romeo")
        for hash_name in backend.scram_hashes()
    }
    assert len(salts) == 6


def test_credentials_are_made_with_as_many_iterations_as_told(make):
    backend = make(iterations=5000)
    backend.create_user("juliet", PASSWORD)
    assert backend.scram_credentials("juliet", "SHA-256").iterations == 5000
    assert backend.scram_iterations == 5000


def test_credentials_are_written_as_rfc_5803_has_them(host, make):
    make(hashes=["SHA-1"]).create_user("juliet", PASSWORD)
    (row,) = rows(host)
    scheme, parameters, keys = row.credentials.split("$")
    assert scheme == "SCRAM-SHA-1"
    assert parameters.startswith("4096:")
    assert [len(key) for key in keys.split(":")] == [28, 28]


def test_a_plain_password_is_kept_where_the_operator_wants_it(host, make):
    backend = make(store="plain")
    backend.create_user("juliet", PASSWORD)
    assert [row.password for row in rows(host)] == [PASSWORD.encode()]
    make().set_password("juliet", PASSWORD)
    assert [row.password for row in rows(host)] == [None]


def test_hosts_do_not_share_accounts(server, make):
    backend = make()
    backend.create_user("juliet", PASSWORD)
    other = server.host("montague.example", plugin_classes={"bystander": Bystander})
    elsewhere = Backend(other.plugin("bystander").host, Options(**FAST))
    assert not elsewhere.user_exists("juliet")
    assert elsewhere.count_users() == 0
    assert elsewhere.users() == []
    elsewhere.create_user("juliet", "another")
    assert backend.check_password("juliet", PASSWORD)


def test_nothing_secret_is_shown(make):
    backend = make(store="plain")
    backend.create_user("juliet", PASSWORD)
    backend.check_password("juliet", PASSWORD)
    shown = repr(backend._cache.get("juliet"))
    assert PASSWORD not in shown
    assert "SCRAM" not in shown


# Hashes


def test_hashes_are_named_the_strongest_first(make):
    assert make(hashes=["SHA-1", "SHA-512"]).scram_hashes() == ("SHA-512", "SHA-1")


def test_a_hash_that_some_account_lacks_is_not_offered(make):
    make(hashes=["SHA-1"]).create_user("juliet", PASSWORD)
    backend = make(hashes=["SHA-1", "SHA-256"])
    backend.create_user("romeo", PASSWORD)
    assert backend.scram_hashes() == ("SHA-1",)
    backend.set_password("juliet", PASSWORD)
    assert backend.scram_hashes() == ("SHA-256", "SHA-1")


def test_a_hash_is_offered_when_the_last_who_lacked_it_is_gone(make):
    make(hashes=["SHA-1"]).create_user("juliet", PASSWORD)
    backend = make()
    assert backend.scram_hashes() == ("SHA-1",)
    backend.remove_user("juliet")
    assert backend.scram_hashes() == ("SHA-512", "SHA-256", "SHA-1")


def test_an_account_whose_password_is_kept_gets_a_new_hash(make):
    make(hashes=["SHA-1"], store="plain").create_user("juliet", PASSWORD)
    backend = make(hashes=["SHA-1", "SHA-512"], store="plain")
    assert backend.scram_hashes() == ("SHA-512", "SHA-1")
    made = backend.scram_credentials("juliet", "SHA-512")
    assert make(hashes=["SHA-512"]).scram_credentials("juliet", "SHA-512") == made
    assert backend.check_password("juliet", PASSWORD)


def test_naming_the_hashes_asks_no_database(make, reads):
    backend = make()
    backend.create_user("juliet", PASSWORD)
    backend.scram_hashes()
    reads.clear()
    backend.scram_hashes()
    assert reads == []


# Work that is saved


def test_a_second_login_by_plain_costs_no_hashing(make, hashings):
    backend = make()
    backend.create_user("juliet", PASSWORD)
    hashings.clear()
    assert backend.check_password("juliet", PASSWORD)
    assert hashings == ["check_against_scram"]
    assert backend.check_password("juliet", PASSWORD)
    assert hashings == ["check_against_scram"]


def test_a_wrong_password_costs_its_hashing_each_time(make, hashings):
    backend = make()
    backend.create_user("juliet", PASSWORD)
    backend.check_password("juliet", PASSWORD)
    hashings.clear()
    for _ in range(2):
        assert not backend.check_password("juliet", "wherefore")
    assert hashings == ["check_against_scram"] * 2


def test_an_unknown_account_costs_as_much_as_a_wrong_password(make, hashings, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "stonechat_auth_internal.check_against_scram",
        lambda password, credentials: asked.append(credentials) or True,
    )
    backend = make()
    backend.create_user("juliet", PASSWORD)
    assert not backend.check_password("rosaline", PASSWORD)
    assert backend.check_password("juliet", PASSWORD)
    decoy, real = asked
    assert (decoy.hash_name, decoy.iterations) == (real.hash_name, real.iterations)
    assert decoy.salt != real.salt


def test_where_passwords_are_kept_neither_costs_any_hashing(make, hashings):
    backend = make(store="plain")
    backend.create_user("juliet", PASSWORD)
    assert not backend.check_password("rosaline", PASSWORD)
    assert not backend.check_password("juliet", "wherefore")
    assert backend.check_password("juliet", PASSWORD)
    assert hashings == []


def test_the_digest_of_one_account_opens_no_other(make):
    backend = make()
    assert backend._fast_digest("juliet", PASSWORD) != backend._fast_digest("romeo", PASSWORD)
    assert make()._fast_digest("juliet", PASSWORD) != backend._fast_digest("juliet", PASSWORD)


def test_a_known_user_logs_in_without_the_database(make, reads):
    backend = make()
    backend.create_user("juliet", PASSWORD)
    assert backend.user_exists("juliet")
    reads.clear()
    backend.check_password("juliet", PASSWORD)
    backend.scram_credentials("juliet", "SHA-256")
    backend.user_exists("juliet")
    assert reads == []


def test_an_unknown_name_is_looked_up_once_as_a_known_one_is(make, reads):
    backend = make()
    backend.create_user("juliet", PASSWORD)
    reads.clear()
    for _ in range(2):
        backend.scram_credentials("juliet", "SHA-256")
        backend.scram_credentials("rosaline", "SHA-256")
    assert reads == ["load_account"] * 2


def test_what_was_read_while_the_password_changed_is_not_remembered(
    make, host, server, monkeypatch
):
    backend = make()
    backend.create_user("juliet", "the old one")
    has_read, go_on = Event(), Event()
    read = server.kernel.store.read

    def slow(work, **options):
        result = read(work, **options)
        has_read.set()
        go_on.wait(5)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(server.kernel.store, "read", slow)
        reader = gevent.spawn(backend.check_password, "juliet", "the old one")
        assert has_read.wait(5)
        backend.set_password("juliet", "the new one")
        go_on.set()
        reader.join(5)
    assert not backend.check_password("juliet", "the old one")
    assert backend.check_password("juliet", "the new one")


# Failures


def test_a_store_that_is_away_is_no_wrong_password(make, server, monkeypatch):
    backend = make()
    backend.create_user("juliet", PASSWORD)

    def fail(work, **options):
        raise StorageError("away")

    monkeypatch.setattr(server.kernel.store, "read", fail)
    monkeypatch.setattr(server.kernel.store, "write", fail)
    for call in (
        lambda: backend.check_password("juliet", PASSWORD),
        lambda: backend.scram_credentials("juliet", "SHA-256"),
        lambda: backend.user_exists("juliet"),
        lambda: backend.set_password("juliet", PASSWORD),
        lambda: backend.create_user("romeo", PASSWORD),
        lambda: backend.remove_user("juliet"),
        backend.scram_hashes,
        backend.users,
        backend.count_users,
    ):
        with pytest.raises(AuthUnavailable):
            call()


def test_after_a_write_that_may_have_happened_nothing_is_remembered(make, server, monkeypatch):
    backend = make()
    backend.create_user("juliet", "the old one")
    write = server.kernel.store.write
    late = []

    def delay(work, **options):
        late.append(work)
        raise StorageUncertain("too slow")

    with monkeypatch.context() as patch:
        patch.setattr(server.kernel.store, "write", delay)
        with pytest.raises(AuthUnavailable):
            backend.set_password("juliet", "the new one")
    assert backend.check_password("juliet", "the old one")
    write(late[0])
    assert backend.check_password("juliet", "the new one")
    assert not backend.check_password("juliet", "the old one")


# The cache


def test_the_cache_is_bounded_and_strangers_turn_nobody_out(make):
    backend = make()
    backend.create_user("juliet", PASSWORD)
    known = backend._load("juliet")
    cache = AccountCache(lambda: 0)
    cache.keep("juliet", known, 0)
    for number in range(MAX_UNKNOWN + 5):
        cache.keep(f"stranger{number}", None, 0)
    assert len(cache) == MAX_UNKNOWN + 1
    assert cache.get("juliet") is known
    for number in range(MAX_KNOWN + 5):
        cache.keep(f"servant{number}", known, 0)
    assert len(cache) == MAX_UNKNOWN + MAX_KNOWN


def test_who_was_seen_least_recently_is_forgotten_first(make, monkeypatch):
    monkeypatch.setattr("stonechat_auth_internal.cache.MAX_KNOWN", 2)
    backend = make()
    backend.create_user("juliet", PASSWORD)
    known = backend._load("juliet")
    cache = AccountCache(lambda: 0)
    for name in ("juliet", "romeo"):
        cache.keep(name, known, 0)
    cache.get("juliet")
    cache.keep("nurse", known, 0)
    assert [name for name in ("juliet", "romeo", "nurse") if cache.get(name) is known] == [
        "juliet",
        "nurse",
    ]


def test_a_password_is_checked_by_the_quickest_hash_that_is_kept(make, host, monkeypatch):
    backend = make()
    backend.create_user("juliet", "R0m30")
    hashes = []

    def noted(call, password, credentials):
        hashes.append(credentials.hash_name)
        return call(password, credentials)

    monkeypatch.setattr(host, "run_blocking", noted)
    assert backend.check_password("juliet", "R0m30")
    assert not backend.check_password("nobody", "R0m30")
    assert hashes == ["SHA-256", "SHA-256"]


def test_however_many_accounts_there_are_none_is_read_at_the_start(make, host, reads):
    """Robustness promise R3: logins work at once, and nothing is repaired or loaded before."""
    first = make()
    first.create_user("juliet", "R0m30")

    def multiply(connection):
        row = connection.execute(text("SELECT * FROM auth_internal_accounts")).one()
        connection.execute(
            text(
                "INSERT INTO auth_internal_accounts (host, localpart, credentials, hashes)"
                " VALUES (:host, :localpart, :credentials, :hashes)"
            ),
            [{**row._mapping, "localpart": f"juliet{number}"} for number in range(10_000)],
        )

    host.storage.write(multiply, deadline=60)
    assert first.count_users() == 10_001
    reads.clear()
    second = make()
    assert reads == []
    assert second.check_password("juliet", "R0m30")
    assert reads == ["load_account"]


# Hashes that came later (XEP-0480)


def test_an_account_gets_a_hash_that_it_lacked(make):
    make(hashes=("SHA-1",)).create_user("juliet", PASSWORD)
    backend = make()
    assert backend.scram_hashes() == ("SHA-1",)
    assert backend.missing_hashes() == ("SHA-512", "SHA-256")
    credentials = derive_scram(PASSWORD, "SHA-256", iterations=4096)
    backend.add_scram("juliet", credentials)
    assert backend.scram_credentials("juliet", "SHA-256") == credentials
    assert backend.scram_hashes() == ("SHA-256", "SHA-1")
    assert backend.missing_hashes() == ("SHA-512",)
    # It is written down, too.
    assert make().scram_credentials("juliet", "SHA-256") == credentials
    assert make().scram_hashes() == ("SHA-256", "SHA-1")


def test_a_hash_is_offered_once_every_account_has_it(make):
    old = make(hashes=("SHA-1",))
    old.create_user("juliet", PASSWORD)
    old.create_user("romeo", PASSWORD)
    backend = make(hashes=("SHA-1", "SHA-256"))
    for name, hashes in (("juliet", ("SHA-1",)), ("romeo", ("SHA-256", "SHA-1"))):
        backend.add_scram(name, derive_scram(PASSWORD, "SHA-256", iterations=4096))
        assert backend.scram_hashes() == hashes
    assert backend.missing_hashes() == ()


def test_what_was_computed_from_an_old_password_is_not_kept(make):
    make(hashes=("SHA-1",)).create_user("juliet", PASSWORD)
    backend, other = make(), make()
    assert backend.scram_credentials("juliet", "SHA-256") is None
    # Through another node, so that this one still remembers the account as it was.
    other.set_password("juliet", "another")
    backend.add_scram("juliet", derive_scram(PASSWORD, "SHA-256", iterations=4096))
    assert check_against_scram("another", make().scram_credentials("juliet", "SHA-256"))
