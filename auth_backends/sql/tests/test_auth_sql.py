"""Accounts in databases of every kind: the contract of every backend, and what is special."""

import pytest

from stonechat.auth import (
    AccountNotFound,
    AuthUnavailable,
    BadPassword,
    Unsupported,
    check_against_scram,
    derive_scram,
)
from stonechat.errors import ConfigError
from stonechat.testing import AuthBackendContract
from stonechat_auth_sql import scram
from stonechat_auth_sql.database import first_line

PASSWORD = "R0m30 & Juliet"


class OnSqlite(AuthBackendContract):
    layout = ""

    @pytest.fixture
    def backend(self, make, sqlite_database):
        return make(sqlite_database, self.layout)


class TestHashedOnSqlite(OnSqlite):
    layout = "hashed"


class TestPlainOnSqlite(OnSqlite):
    layout = "plain"


class TestScramColumnsOnSqlite(OnSqlite):
    layout = "scram"


class TestScramWordsOnSqlite(OnSqlite):
    layout = "words"


class TestQueriesOnSqlite(OnSqlite):
    layout = "queries"


class OnServer(AuthBackendContract):
    layout = ""

    @pytest.fixture
    def database(self):
        raise NotImplementedError

    @pytest.fixture
    def backend(self, make, database):
        database.execute("DELETE FROM accounts")
        database.execute("DELETE FROM users")
        return make(database, self.layout)


class TestScramColumnsOnPostgres(OnServer):
    layout = "scram"

    @pytest.fixture
    def database(self, postgres_database):
        return postgres_database


class TestHashedOnMariaDB(OnServer):
    layout = "hashed"

    @pytest.fixture
    def database(self, maria_database):
        return maria_database


class TestScramColumnsOnMariaDB(TestHashedOnMariaDB):
    layout = "scram"


# Names


def test_a_table_that_takes_one_letter_for_another_opens_no_other_account(make, maria_database):
    maria_database.execute("DELETE FROM accounts")
    backend = make(maria_database, "plain")
    maria_database.put("accounts", login="juliet", hash=PASSWORD)
    for name in ("juliét", "JULIET"):
        assert not backend.check_password(name, PASSWORD)
        assert not backend.user_exists(name)
        with pytest.raises(AccountNotFound):
            backend.set_password(name, "P4r1s")
        with pytest.raises(AccountNotFound):
            backend.remove_user(name)
        # Nor can there be such a one beside her, in a table that sees no difference.
        with pytest.raises(Unsupported):
            backend.create_user(name, "P4r1s")
    assert backend.check_password("juliet", PASSWORD)


def test_nor_does_one_of_sqlite(make, sqlite_database):
    backend = make(sqlite_database, "plain")
    sqlite_database.put("accounts", login="Juliet", hash=PASSWORD)
    assert not backend.user_exists("juliet")
    assert not backend.check_password("juliet", PASSWORD)
    with pytest.raises(AccountNotFound):
        backend.remove_user("juliet")


@pytest.mark.parametrize(
    "name", ["' OR '1'='1", "juliet'; DROP TABLE accounts; --", "%", "juliet\\", ":user", '"']
)
def test_a_name_is_a_value_and_never_a_part_of_a_statement(make, sqlite_database, name):
    backend = make(sqlite_database, "plain")
    backend.create_user("juliet", PASSWORD)
    assert not backend.user_exists(name)
    assert not backend.check_password(name, PASSWORD)
    assert not backend.check_password("juliet", name)
    backend.create_user(name, PASSWORD)
    backend.remove_user(name)
    assert backend.users() == ["juliet"]


def test_hosts_share_a_table_and_no_accounts(make, sqlite_database):
    here = make(sqlite_database, "scram")
    there = make(sqlite_database, "scram", host="montague.example")
    here.create_user("juliet", PASSWORD)
    there.create_user("juliet", "another")
    there.create_user("romeo", PASSWORD)
    assert here.users() == ["juliet"]
    assert there.count_users() == 2
    credentials = here.scram_credentials("juliet", "SHA-1")
    assert check_against_scram(PASSWORD, credentials)
    there.remove_user("juliet")
    assert here.user_exists("juliet")


# What others have written


# openssl passwd -6 -salt verona 'R0m30 & Juliet'
CRYPTED = (
    "$6$verona$rIvO6jhlnH9.jaIL2NKilHZx0KvY7XIO1M.YAMisz7wVMk46irNw33gl0zLzTIsDsHWMsXEut"
    "KxcSdelDBEct0"
)


@pytest.mark.parametrize("prefix", ["", "{SHA512-CRYPT}", "{crypt}"])
def test_hashes_that_others_have_made_are_known(make, sqlite_database, prefix):
    sqlite_database.put("accounts", login="juliet", hash=prefix + CRYPTED)
    backend = make(sqlite_database, "hashed")
    assert backend.check_password("juliet", PASSWORD)
    assert not backend.check_password("juliet", "P4r1s")


@pytest.mark.parametrize(
    "scheme",
    [
        "argon2",
        "bcrypt",
        "django_pbkdf2_sha256",
        "ldap_salted_sha1",
        "ldap_salted_sha256",
        "ldap_salted_sha512",
        "pbkdf2_sha256",
        "pbkdf2_sha512",
        "phpass",
        "sha256_crypt",
        "sha512_crypt",
    ],
)
def test_every_kind_of_hash_that_is_documented_is_known(make, sqlite_database, scheme):
    from passlib import hash as schemes

    maker = getattr(schemes, scheme)
    cheap = {
        "argon2": {"time_cost": 1, "memory_cost": 8, "parallelism": 1},
        "bcrypt": {"rounds": 4},
        "phpass": {"rounds": 7},
        "sha256_crypt": {"rounds": 1000},
        "sha512_crypt": {"rounds": 1000},
    }.get(scheme, {})
    stored = maker.using(**cheap).hash("R0m30 любит")
    sqlite_database.put("accounts", login="juliet", hash=stored)
    backend = make(sqlite_database, "hashed")
    assert backend.check_password("juliet", "R0m30 любит")
    assert not backend.check_password("juliet", "R0m30 любит\0")
    assert not backend.check_password("juliet", "P4r1s")
    assert not backend.check_password("rosaline", "R0m30 любит")


@pytest.mark.parametrize("stored", ["5f4dcc3b5aa765d61d8327deb882cf99", "R0m30", "$6$x", "$2b$"])
def test_what_is_no_known_hash_is_told_of_and_is_no_wrong_password(make, sqlite_database, stored):
    backend = make(sqlite_database, "hashed")
    sqlite_database.put("accounts", login="juliet", hash=stored)
    with pytest.raises(AuthUnavailable):
        backend.check_password("juliet", stored)
    (call,) = backend.host.log.warning.call_args_list
    assert stored not in str(call)


@pytest.mark.parametrize("layout", ["hashed", "plain", "words"])
def test_an_account_without_a_password_lets_nobody_in(make, sqlite_database, layout):
    sqlite_database.execute("INSERT INTO accounts VALUES ('juliet', ''), ('romeo', NULL)")
    backend = make(sqlite_database, layout)
    for name in ("juliet", "romeo"):
        assert backend.user_exists(name)
        if layout != "words":
            assert not backend.check_password(name, "")
            assert not backend.check_password(name, PASSWORD)
        if layout != "hashed":
            assert backend.scram_credentials(name, "SHA-256") is None


def test_bcrypt_sees_no_more_of_a_password_than_it_ever_did(make, sqlite_database):
    backend = make(sqlite_database, "hashed", hash="bcrypt")
    with pytest.raises(BadPassword):
        backend.create_user("juliet", "x" * 73)
    backend.create_user("juliet", "x" * 72)
    assert backend.check_password("juliet", "x" * 80)
    assert not backend.check_password("juliet", "x" * 71)


def test_who_is_not_there_costs_the_hashing_of_who_is(make, sqlite_database, monkeypatch):
    backend = make(sqlite_database, "hashed", hash="sha512-crypt")
    backend.create_user("juliet", PASSWORD)
    calls = []
    monkeypatch.setattr(
        backend.host, "run_blocking", lambda call, *args: calls.append(args[-1]) or call(*args)
    )
    assert not backend.check_password("rosaline", PASSWORD)
    assert backend.check_password("juliet", PASSWORD)
    assert not backend.check_password("rosaline", PASSWORD)
    made, first, hers, second = calls
    assert made == "sha512-crypt"
    assert first.startswith("$6$")
    # From then on she costs what others cost, whatever kind theirs is.
    assert second == hers


def test_ejabberds_rows_from_before_scram_can_log_in(make, sqlite_database):
    sqlite_database.put(
        "users", username="juliet", server_host="capulet.example", password=PASSWORD
    )
    backend = make(sqlite_database, "scram")
    credentials = backend.scram_credentials("juliet", "SHA-1")
    assert check_against_scram(PASSWORD, credentials)
    assert backend.scram_credentials("juliet", "SHA-1") == credentials
    backend.set_password("juliet", "P4r1s")
    assert check_against_scram("P4r1s", backend.scram_credentials("juliet", "SHA-1"))
    assert not sqlite_database.execute("SELECT 1 FROM users WHERE salt = ''")


def test_prosodys_accounts_are_read_by_a_query(make, sqlite_database):
    known = derive_scram(PASSWORD, "SHA-1", b"3a1c9e52-8f6d-4f0b-9d38-0f8a6f2f6f11", 4096)
    sqlite_database.execute(
        "CREATE TABLE prosody (host TEXT, user TEXT, store TEXT, key TEXT, type TEXT, value TEXT)"
    )
    for key, value in {
        "salt": known.salt.decode(),
        "iteration_count": "4096",
        "stored_key": known.stored_key.hex(),
        "server_key": known.server_key.hex(),
    }.items():
        sqlite_database.put(
            "prosody",
            host="capulet.example",
            user="juliet",
            store="accounts",
            key=key,
            type="string",
            value=value,
        )
    find = (
        "SELECT max(CASE WHEN key = 'salt' THEN value END) AS salt,"
        " max(CASE WHEN key = 'iteration_count' THEN value END) AS iterations,"
        " max(CASE WHEN key = 'stored_key' THEN value END) AS stored_key,"
        " max(CASE WHEN key = 'server_key' THEN value END) AS server_key,"
        " max(CASE WHEN key = 'password' THEN value END) AS password"
        " FROM prosody WHERE host = :host AND user = :user AND store = 'accounts' GROUP BY user"
    )
    backend = make(sqlite_database, format="scram", salt_as="text", queries={"find": find})
    assert backend.scram_credentials("juliet", "SHA-1") == known
    assert backend.scram_credentials("romeo", "SHA-1") is None
    assert backend.capabilities == {
        "export_credentials",
        "scram_credentials",
        "scram_hashes",
        "user_exists",
    }
    assert backend.export_credentials("juliet").scram == (known,)


@pytest.mark.parametrize("salt_as", ["base64", "hex", "text"])
def test_what_is_written_is_read_again(make, sqlite_database, salt_as):
    backend = make(sqlite_database, "scram", salt_as=salt_as)
    backend.create_user("juliet", PASSWORD)
    credentials = backend.scram_credentials("juliet", "SHA-1")
    assert check_against_scram(PASSWORD, credentials)


@pytest.mark.parametrize("name", ["SHA-1", "SHA-256", "SHA-512"])
def test_credentials_in_one_text_come_in_two_spellings(name):
    known = derive_scram(PASSWORD, name, b"salt", 4096)
    words = scram.words_of(known)
    dovecot = f"{{SCRAM-{name}}}" + words.partition("$")[2].replace(":", ",").replace("$", ",")
    for text in (words, dovecot, dovecot.encode()):
        assert scram.credentials_of({"password": text}, "SHA-1", "base64") == known


@pytest.mark.parametrize(
    "row",
    [
        {"salt": "c2FsdA==", "iterations": "x", "stored_key": "a", "server_key": "b"},
        {"salt": "c2FsdA==", "iterations": 4096, "stored_key": "a" * 28, "server_key": "??"},
        {"salt": "?", "iterations": 4096, "stored_key": "a" * 40, "server_key": "b" * 40},
        {"salt": "c2FsdA==", "iterations": 4096, "stored_key": "a" * 40},
        {"salt": "c2FsdA==", "iterations": None, "stored_key": "a" * 40, "server_key": "b" * 40},
        {"password": "SCRAM-SHA-256$4096:c2FsdA==$YQ==:YQ=="},
        {"password": "SCRAM-SHA-384$4096:c2FsdA==$YQ==:YQ=="},
    ],
)
def test_damaged_credentials_are_told_of_and_are_no_wrong_password(row):
    with pytest.raises(scram.DamagedCredentials) as caught:
        scram.credentials_of(row, "SHA-1", "base64")
    assert caught.value.__cause__ is None


def test_damaged_credentials_are_a_failure_for_now(make, sqlite_database):
    sqlite_database.execute(
        "INSERT INTO users VALUES ('juliet', 'capulet.example', 'x', 'y', 'z', 4096)"
    )
    backend = make(sqlite_database, "scram")
    with pytest.raises(AuthUnavailable):
        backend.scram_credentials("juliet", "SHA-1")
    assert backend.host.log.warning.call_count == 1


# What may be done


def test_nothing_is_changed_unless_it_is_said(make, sqlite_database):
    backend = make(sqlite_database, "hashed", changes=[])
    assert backend.capabilities == {"check_password", "count_users", "user_exists", "users"}
    with pytest.raises(Unsupported):
        backend.create_user("juliet", PASSWORD)


def test_the_database_may_compare_itself(make, postgres_database):
    postgres_database.execute("CREATE EXTENSION IF NOT EXISTS pgcrypto")
    postgres_database.execute("DELETE FROM accounts")
    postgres_database.put("accounts", login="juliet", hash=PASSWORD)
    postgres_database.execute("UPDATE accounts SET hash = crypt(hash, gen_salt('bf', 4))")
    check = "SELECT 1 FROM accounts WHERE login = :user AND hash = crypt(:password, hash)"
    backend = make(postgres_database, queries={"check": check})
    assert backend.capabilities == {"check_password"}
    assert backend.check_password("juliet", PASSWORD)
    assert not backend.check_password("juliet", "P4r1s")
    assert not backend.check_password("rosaline", PASSWORD)
    assert not backend.check_password("juliet", "\ud800")


def test_what_the_table_does_not_take_is_no_account_that_is_there(make, sqlite_database):
    sqlite_database.execute(
        "CREATE TABLE strict (login TEXT PRIMARY KEY, hash TEXT, mail TEXT NOT NULL)"
    )
    backend = make(sqlite_database, "hashed", table="strict")
    with pytest.raises(Unsupported):
        backend.create_user("juliet", PASSWORD)
    assert backend.host.log.warning.call_count == 1


def test_existence_is_remembered_until_it_is_changed(make, sqlite_database):
    backend = make(sqlite_database, "hashed")
    assert not backend.user_exists("juliet")
    backend.create_user("juliet", PASSWORD)
    assert backend.user_exists("juliet")
    sqlite_database.execute("DELETE FROM accounts")
    assert backend.user_exists("juliet")
    assert backend.cache.figures.hits == 1
    with pytest.raises(AccountNotFound):
        backend.set_password("juliet", PASSWORD)
    assert not backend.user_exists("juliet")


def test_a_password_is_remembered_only_if_that_is_said(make, sqlite_database):
    for setting, remembered in (("off", False), ("1 h", True)):
        backend = make(sqlite_database, "hashed", cache_password=setting)
        if not backend.user_exists("juliet"):
            backend.create_user("juliet", PASSWORD)
        backend.set_password("juliet", PASSWORD)
        assert backend.check_password("juliet", PASSWORD)
        make(sqlite_database, "hashed").set_password("juliet", "P4r1s")
        assert backend.check_password("juliet", PASSWORD) is remembered
        backend.set_password("juliet", "new")
        assert not backend.check_password("juliet", PASSWORD)


# Faults


def test_a_file_that_is_missing_stops_the_start(make, tmp_path):
    class Missing:
        url = "sqlite:///missing.db"

    with pytest.raises(ConfigError, match=r"no database .*missing\.db"):
        make(Missing, "hashed")
    assert not (tmp_path / "missing.db").exists()


def test_a_wrong_name_of_a_column_is_told_at_the_start(make, sqlite_database):
    backend = make(sqlite_database, "hashed", columns={"user": "nick", "password": "hash"})
    backend._try_out()
    (call,) = backend.host.log.error.call_args_list
    assert "nick" in call.kwargs["reason"]
    well = make(sqlite_database, "hashed")
    well._try_out()
    assert well.host.log.error.call_args_list == []


def test_an_error_of_the_database_shows_no_values(make, postgres_database):
    postgres_database.execute(
        "CREATE TABLE IF NOT EXISTS checked (login TEXT, hash TEXT CHECK (length(hash) < 3))"
    )
    backend = make(postgres_database, "plain", table="checked")
    with pytest.raises(Unsupported) as caught:
        backend.create_user("juliet", PASSWORD)
    logged = str(backend.host.log.warning.call_args_list)
    assert "checked" in logged
    assert PASSWORD not in logged + str(caught.value)
    assert caught.value.__cause__ is None
    assert first_line(ValueError(f"one\n{PASSWORD}")) == "one"


def test_a_stopped_backend_answers_nobody(make, sqlite_database):
    backend = make(sqlite_database, "hashed")
    backend.stop()
    with pytest.raises(AuthUnavailable):
        backend.user_exists("juliet")
