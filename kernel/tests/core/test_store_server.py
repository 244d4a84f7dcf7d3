"""The store on a database server: what is said to it, and what it must be like."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from gevent.event import Event
from server_lines import CHANGE, ENDLESS, INSERT, LINES, Stores, endless, said, say
from sqlalchemy import Connection, MetaData, create_engine, make_url
from sqlalchemy.exc import IntegrityError

from stonechat.core.config_model import Storage as StorageOptions
from stonechat.core.store import open_store
from stonechat.errors import ConfigError, StorageError
from stonechat.storage import Schema
from stonechat.testing.databases import DatabaseServer, MariaServer, PostgresServer


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    stores = Stores(tmp_path)
    yield stores
    stores.close()


@pytest.fixture(params=["postgres_server", "maria_server"])
def database_server(request: pytest.FixtureRequest) -> DatabaseServer:
    server: DatabaseServer = request.getfixturevalue(request.param)
    return server


# Who may use a database


def test_a_second_server_is_told_who_uses_the_database(
    database_server: DatabaseServer, stores: Stores
) -> None:
    url = database_server.fresh_database()
    first = stores.open_with_lines(url)
    with pytest.raises(StorageError, match="another server uses the database") as caught:
        stores.open(url, seconds=0.5)
    assert "stop that one first" in str(caught.value)
    assert make_url(url).password not in str(caught.value)
    first.write(say("Ay me!"))


def test_a_database_is_free_again_when_its_server_has_stopped(
    database_server: DatabaseServer, stores: Stores
) -> None:
    url = database_server.fresh_database()
    first = stores.open_with_lines(url)
    first.write(say("Ay me!"))
    first.close()
    assert stores.open(url).read(said) == ["Ay me!"]


def test_two_databases_of_one_server_do_not_mind_each_other(
    database_server: DatabaseServer, stores: Stores
) -> None:
    for _ in range(2):
        stores.open_with_lines(database_server.fresh_database()).write(say("Ay me!"))


def test_two_servers_do_not_share_a_data_directory(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    first = open_store(StorageOptions(url=postgres_server.fresh_database()), tmp_path)
    try:
        with pytest.raises(StorageError, match="is in use"):
            open_store(StorageOptions(url=postgres_server.fresh_database()), tmp_path)
    finally:
        first.close()


# What it must be like


def test_the_password_may_be_in_a_file(postgres_server: PostgresServer, tmp_path: Path) -> None:
    url = make_url(postgres_server.fresh_database())
    file = tmp_path / "password"
    file.write_text(f"{url.password}\n")
    without = url._replace(password=None).render_as_string()
    store = open_store(StorageOptions(url=without, password_file=file), tmp_path / "data")
    store.close()


def test_a_wrong_password_stops_the_start(database_server: DatabaseServer, tmp_path: Path) -> None:
    url = make_url(database_server.fresh_database()).set(password="of another")
    options = StorageOptions(url=url.render_as_string(hide_password=False), timeout="1 s")
    with pytest.raises((StorageError, ConfigError)) as caught:
        open_store(options, tmp_path)
    assert "of another" not in str(caught.value)
    assert "stonechat" in str(caught.value)


def test_a_database_with_another_collation_is_refused_with_what_mends_it(
    maria_server: MariaServer, stores: Stores
) -> None:
    name = maria_server.new_database()
    wrong = f"ALTER DATABASE `{name}` CHARACTER SET latin1 COLLATE latin1_swedish_ci"
    maria_server.execute(wrong)
    with pytest.raises(ConfigError) as caught:
        stores.open(maria_server.url(name))
    text = str(caught.value)
    maria_server.execute(text[text.index("ALTER DATABASE") :])
    stores.open_with_lines(maria_server.url(name)).write(say("\N{ROSE}"))


def test_a_database_with_another_encoding_is_refused_with_what_mends_it(
    postgres_server: PostgresServer, stores: Stores
) -> None:
    postgres_server.execute(
        "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"
    )
    with pytest.raises(ConfigError, match=r"LATIN1.*ENCODING 'UTF8'"):
        stores.open(postgres_server.url("latin"))
    postgres_server.drop_database("latin")


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("postgresql://juliet@localhost/stonechat", "psycopg", "postgresql"),
        ("mariadb://juliet@localhost/stonechat", "pymysql", "mysql"),
        ("postgresql+pyodbc://juliet@localhost/stonechat", "pyodbc", "odbc"),
        ("mssql://juliet@localhost/stonechat", "pyodbc", "mssql"),
    ],
)
def test_a_missing_driver_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf"pip install 'stonechat\[{extra}\]'"):
        open_store(StorageOptions(url=url), tmp_path)


def test_a_charset_in_the_url_that_has_not_all_characters_is_refused(
    maria_server: MariaServer, stores: Stores
) -> None:
    with pytest.raises(ConfigError, match="charset=latin1"):
        stores.open(maria_server.fresh_database() + "?charset=latin1")


def test_backup_and_check_name_the_tools_of_the_server(
    database_server: DatabaseServer, stores: Stores, tmp_path: Path
) -> None:
    store = stores.open(database_server.fresh_database())
    with pytest.raises(StorageError, match=r"pg_dump|mysqldump"):
        store.backup(tmp_path / "copy")
    with pytest.raises(StorageError, match=r"pg_amcheck|mysqlcheck"):
        store.check()


# Durability


@pytest.mark.parametrize(
    ("durability", "as_chosen", "durable", "not_durable"),
    [("memory", "off", "on", "off"), ("disk", "on", "on", "on"), ("full", "on", "on", "on")],
)
def test_durability_sets_what_a_commit_of_postgresql_waits_for(
    postgres_server: PostgresServer,
    stores: Stores,
    durability: str,
    as_chosen: str,
    durable: str,
    not_durable: str,
) -> None:
    def level(connection: Connection) -> str:
        return str(connection.exec_driver_sql("SHOW synchronous_commit").scalar_one())

    store = stores.open(postgres_server.fresh_database(), durability=durability)
    assert store.write(level) == as_chosen
    assert store.write(level, durable=True) == durable
    assert store.write(level, durable=False) == not_durable
    assert store.write(level) == as_chosen


@pytest.mark.parametrize(
    ("durability", "postgresql", "mariadb"),
    [("memory", False, False), ("disk", False, False), ("full", True, True)],
)
def test_a_server_that_cannot_keep_the_promise_is_named_once(
    postgres_server: PostgresServer,
    maria_server: MariaServer,
    stores: Stores,
    caplog: pytest.LogCaptureFixture,
    durability: str,
    postgresql: bool,
    mariadb: bool,
) -> None:
    # Of the fixtures, one runs without fsync, the other writes to the disk once a second.
    for server, expected in ((postgres_server, postgresql), (maria_server, mariadb)):
        caplog.clear()
        stores.open(server.fresh_database(), durability=durability)
        gevent.sleep(0)
        said = [record.getMessage() for record in caplog.records if "fsync" in record.getMessage()]
        said += [r.getMessage() for r in caplog.records if "innodb_flush" in r.getMessage()]
        assert len(said) == expected


# Works


def test_a_group_is_carried_out_again_when_one_of_it_fails(
    database_server: DatabaseServer, stores: Stores
) -> None:
    store = stores.open_with_lines(database_server.fresh_database())
    runs = []

    def counted(connection: Connection) -> None:
        runs.append(len(runs))
        say("first")(connection)

    def fail(connection: Connection) -> None:
        say("first")(connection)  # again

    with_first = [gevent.spawn(store.write, work) for work in (counted, fail, say("last"))]
    gevent.joinall(with_first, timeout=30)
    assert isinstance(with_first[1].exception, IntegrityError)
    assert store.read(said) == ["first", "last"]
    assert len(runs) in (1, 2)


def test_a_work_that_goes_on_after_an_error_is_told_so(
    postgres_server: PostgresServer, stores: Stores
) -> None:
    def swallow(connection: Connection) -> str:
        say("again")(connection)
        try:
            say("again")(connection)
        except IntegrityError:
            return "as if nothing had been"
        return ""

    store = stores.open_with_lines(postgres_server.fresh_database())
    # Its transaction is lost, whatever COMMIT answers.
    with pytest.raises(StorageError):
        store.write(swallow)
    assert store.read(said) == []


def test_a_work_on_mysql_does_not_change_tables(maria_server: MariaServer, stores: Stores) -> None:
    store = stores.open_with_lines(maria_server.fresh_database())

    def define(connection: Connection) -> None:
        say("committed by the way")(connection)
        connection.exec_driver_sql("CREATE TABLE balcony (height INTEGER)").close()

    with pytest.raises(StorageError, match="ensure"):
        store.write(define)
    assert store.read(said) == []


def test_a_statement_that_takes_too_long_frees_its_thread(
    database_server: DatabaseServer, stores: Stores
) -> None:
    store = stores.open_with_lines(database_server.fresh_database(), reader_threads=1)
    with pytest.raises(StorageError, match="in time"):
        store.read(endless, deadline=0.2)
    assert store.read(said) == []
    with pytest.raises(StorageError, match="in time"):
        store.write(endless, deadline=0.2)
    store.write(say("Ay me!"))
    assert store.read(said) == ["Ay me!"]


def test_a_deadline_longer_than_usual_holds(
    database_server: DatabaseServer, stores: Stores
) -> None:
    store = stores.open_with_lines(database_server.fresh_database(), seconds=0.3)
    sleep = {"postgresql": "SELECT pg_sleep(0.7)", "mysql": "SELECT SLEEP(0.7)"}

    def rest(connection: Connection) -> object:
        return connection.exec_driver_sql(sleep[connection.dialect.name]).scalar()

    for call in (store.read, store.write):
        assert call(rest, deadline=10.0) in ("", 0)


def test_what_meets_another_transaction_is_carried_out_again(
    postgres_server: PostgresServer, stores: Stores
) -> None:
    url = postgres_server.fresh_database()
    store = stores.open_with_lines(url)
    store.write(say("before"))
    stranger = create_engine(url, isolation_level="AUTOCOMMIT")
    runs: list[list[str]] = []

    def change(connection: Connection) -> None:
        runs.append(said(connection))
        if len(runs) == 1:
            with stranger.connect() as other:
                other.execute(CHANGE, {"old": "before", "new": "meanwhile"})
        connection.execute(CHANGE, {"old": "before", "new": "after"})
        connection.execute(CHANGE, {"old": "meanwhile", "new": "after all"})

    store.write(change)
    stranger.dispose()
    assert runs == [["before"], ["meanwhile"]]
    assert store.read(said) == ["after all"]


def test_a_lock_that_is_not_given_up_ends_the_tries(
    maria_server: MariaServer, stores: Stores
) -> None:
    url = maria_server.fresh_database()
    store = stores.open_with_lines(url, seconds=1.0)
    stranger = create_engine(url)
    with stranger.connect() as other, other.begin():
        other.execute(INSERT, {"host": "capulet.example", "line": "held"})
        with pytest.raises(StorageError):
            store.write(say("held"))
        other.rollback()
    stranger.dispose()
    store.write(say("held"))
    assert store.read(said) == ["held"]


def test_slow_works_are_logged_with_their_statement_and_without_values(
    database_server: DatabaseServer, stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    store = stores.open_with_lines(database_server.fresh_database(), slow=0.05)
    sleep = {"postgresql": "SELECT pg_sleep(0.1)", "mysql": "SELECT SLEEP(0.1)"}

    def dawdle(connection: Connection) -> None:
        say(f"a secret vow {len(said(connection))}")(connection)
        connection.exec_driver_sql(sleep[connection.dialect.name]).all()

    for _ in range(2):
        store.write(dawdle)
    gevent.sleep(0)
    slow = [r.getMessage() for r in caplog.records if "dawdle" in r.getMessage()]
    assert len(slow) == 1
    assert "leep(0.1)" in slow[0].replace("SLEEP", "sleep")
    assert "secret" not in caplog.text
    assert caplog.records[-1].levelno == logging.WARNING


# Tables


def test_making_tables_that_was_interrupted_begins_anew(
    maria_server: MariaServer, stores: Stores
) -> None:
    url = maria_server.fresh_database()
    store = stores.open_with_lines(url)
    store.close()
    # As a server leaves it that dies after the first of two tables.
    maria_server.execute("UPDATE stonechat_schema SET version = 0", make_url(url).database)
    again = stores.open_with_lines(url)
    again.write(say("Ay me!"))
    assert again.read(said) == ["Ay me!"]


def test_a_migration_that_was_interrupted_says_what_to_do(
    maria_server: MariaServer, stores: Stores
) -> None:
    url = maria_server.fresh_database()
    store = stores.open_with_lines(url)

    def begin_and_fail(op: object) -> None:
        op.execute("ALTER TABLE server_lines ADD COLUMN half INTEGER")  # type: ignore[attr-defined]
        raise KeyError("the other half")

    newer = Schema("server_lines", 2, MetaData(), {2: begin_and_fail})
    with pytest.raises(StorageError, match="half-way to version 2"):
        store.ensure(newer)
    with pytest.raises(StorageError, match="half-way to version 2") as caught:
        store.ensure(newer)
    # What it says leads out.
    database = make_url(url).database
    maria_server.execute("ALTER TABLE server_lines DROP COLUMN half", database)
    text = str(caught.value)
    maria_server.execute(text[text.index("UPDATE") :], database)
    store.ensure(LINES)
    store.write(say("Ay me!"))


def test_a_change_of_tables_may_take_longer_than_a_call(
    database_server: DatabaseServer, stores: Stores
) -> None:
    store = stores.open_with_lines(database_server.fresh_database(), seconds=0.3)
    assert set(ENDLESS) == {"postgresql", "mysql"}

    def slowly(op: object) -> None:
        connection = op.get_bind()  # type: ignore[attr-defined]
        sleep = {"postgresql": "SELECT pg_sleep(0.7)", "mysql": "SELECT SLEEP(0.7)"}
        connection.exec_driver_sql(sleep[connection.dialect.name]).all()

    store.ensure(Schema("server_lines", 2, MetaData(), {2: slowly}))
    store.write(say("Ay me!"))


def test_the_hub_goes_on_while_the_store_opens_and_waits(
    postgres_server: PostgresServer, stores: Stores
) -> None:
    ticked = Event()
    gevent.spawn(ticked.set)
    stores.open(postgres_server.fresh_database())
    assert ticked.is_set()
