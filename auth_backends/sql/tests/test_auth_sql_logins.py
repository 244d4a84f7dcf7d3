"""Real logins at a server whose accounts are in a database, also while that is away."""

import threading
import time
from contextlib import closing

import pytest
from sqlalchemy import column, create_engine, insert, table, text

from stonechat.testing import LoginFailed, until
from stonechat_auth_sql.passwords import new_hash

HOST = "capulet.example"
PASSWORD = "R0m30 & любовь"


def serve(stonechat_process, url, auth=("sql",), **options):
    return stonechat_process(
        {
            "hosts": {HOST: {}},
            "auth": list(auth),
            "auth_options": {"sql": {"url": url, "table": "accounts", **options}},
            "plugins": {"offline": {}, "ping": {}},
        }
    )


def fill(url, **passwords):
    with closing(create_engine(url, isolation_level="AUTOCOMMIT").connect()) as connection:
        connection.execute(
            text("CREATE TABLE accounts (username VARCHAR(191) PRIMARY KEY, password TEXT)")
        )
        for name, password in passwords.items():
            connection.execute(
                insert(table("accounts", column("username"), column("password"))).values(
                    username=name, password=password
                )
            )
        connection.engine.dispose()


def login(slixmpp, process, name, password=PASSWORD):
    return slixmpp.login(process, f"{name}@{HOST}/balcony", password=password)


def refusal(slixmpp, process, name, password=PASSWORD):
    """The SASL condition by which a login is refused."""
    stranger = slixmpp.client(process, f"{name}@{HOST}/street", password=password)
    stranger.note("failed_auth")
    with pytest.raises(LoginFailed):
        stranger.connect()
    return stranger.wait_event("failed_auth")[1]["condition"]


def let_in(slixmpp, process, name):
    """Log in as soon as it works."""

    def attempt():
        try:
            return login(slixmpp, process, name)
        except LoginFailed:
            return None

    return until(attempt, "login that works")


def test_accounts_of_a_database_log_in(stonechat_process, slixmpp, postgres_server):
    url = postgres_server.fresh_database()
    fill(url, juliet=new_hash(PASSWORD, "sha512-crypt"))
    process = serve(stonechat_process, url, changes=["create_user", "set_password", "remove_user"])
    juliet = login(slixmpp, process, "juliet")
    assert juliet.xmpp.plugin["feature_mechanisms"].mech.name == "PLAIN"
    assert refusal(slixmpp, process, "juliet", "P4r1s") == "not-authorized"
    assert refusal(slixmpp, process, "rosaline") == "not-authorized"
    process.register(f"romeo@{HOST}", password=PASSWORD)
    assert login(slixmpp, process, "romeo").bare == f"romeo@{HOST}"
    assert process.run("registered-users", HOST).split() == [f"juliet@{HOST}", f"romeo@{HOST}"]
    # There is an account, so that messages wait; and there is none.
    juliet.say(f"romeo@{HOST}", "What's in a name?")
    juliet.say(f"rosaline@{HOST}", "Forgotten")
    assert juliet.error_of(juliet.message()).condition == "service-unavailable"
    process.run("unregister", f"romeo@{HOST}")
    assert refusal(slixmpp, process, "romeo") == "not-authorized"
    assert process.stop() == 0
    assert process.faults == []
    assert PASSWORD not in process.log


def test_plain_passwords_do_for_scram(stonechat_process, slixmpp, tmp_path):
    url = f"sqlite:///{tmp_path}/accounts.db"
    fill(url, juliet=PASSWORD)
    process = serve(stonechat_process, url, format="plain", iterations=4096)
    juliet = slixmpp.client(process, f"juliet@{HOST}", password=PASSWORD)
    mechanisms = juliet.xmpp.plugin["feature_mechanisms"]
    mechanisms.unencrypted_scram = True
    juliet.connect()
    assert mechanisms.mech.name == "SCRAM-SHA-512"
    assert refusal(slixmpp, process, "juliet", "P4r1s") == "not-authorized"


def test_a_wrong_column_is_told_and_the_server_starts_all_the_same(stonechat_process, tmp_path):
    url = f"sqlite:///{tmp_path}/accounts.db"
    fill(url)
    process = serve(stonechat_process, url, columns={"user": "nick"})
    until(lambda: process.faults, "word about the column")
    assert "nick" in process.faults[0]["reason"]


class Chat(threading.Thread):
    """Two who are online talk all the time; how long each message took."""

    def __init__(self, one, other):
        super().__init__(daemon=True)
        self._one, self._other = one, other
        self._is_over = threading.Event()
        self.seconds = []

    def run(self):
        number = 0
        while not self._is_over.is_set():
            number += 1
            begun = time.monotonic()
            self._one.say(self._other.jid, f"word {number}")
            self._other.message(f"word {number}")
            self.seconds.append(time.monotonic() - begun)

    def end(self):
        self._is_over.set()
        self.join(30)
        assert not self.is_alive()


@pytest.mark.parametrize("server_fixture", ["postgres_server", "maria_server"])
def test_a_database_that_is_away_or_hangs_is_felt_only_by_who_needs_it(
    stonechat_process, slixmpp, request, server_fixture
):
    database = request.getfixturevalue(server_fixture)
    url = database.fresh_database()
    hashed = new_hash(PASSWORD, "sha512-crypt")
    fill(url, romeo=hashed, mercutio=hashed, benvolio=hashed)
    process = serve(stonechat_process, url, auth=("internal", "sql"), timeout="1 s", connections=2)
    process.register(f"prince@{HOST}", f"paris@{HOST}", password=PASSWORD)
    prince, romeo = login(slixmpp, process, "prince"), login(slixmpp, process, "romeo")
    chat = Chat(prince, romeo)
    chat.start()

    # It hangs: more ask than there are connections, and each is told so.
    database.pause()
    try:
        conditions = {refusal(slixmpp, process, "mercutio") for _ in range(4)}
        assert conditions == {"temporary-auth-failure"}
        assert login(slixmpp, process, "paris").bare == f"paris@{HOST}"
    finally:
        database.resume()
    assert let_in(slixmpp, process, "mercutio")

    # It is gone, and comes again.
    database.kill()
    try:
        assert refusal(slixmpp, process, "benvolio") == "temporary-auth-failure"
    finally:
        database.start()
    assert let_in(slixmpp, process, "benvolio")

    chat.end()
    assert len(chat.seconds) > 10
    assert process.stop() == 0
    assert all(record["level"] == "error" for record in process.faults)
    assert PASSWORD not in process.log


def test_a_database_that_hangs_does_not_keep_the_server_from_stopping(
    stonechat_process, slixmpp, postgres_server
):
    url = postgres_server.fresh_database()
    fill(url, juliet=new_hash(PASSWORD, "sha512-crypt"))
    process = serve(stonechat_process, url, timeout="1 s", connections=1)
    login(slixmpp, process, "juliet")
    postgres_server.pause()
    try:
        assert refusal(slixmpp, process, "juliet") == "temporary-auth-failure"
        assert process.stop() == 0
    finally:
        postgres_server.resume()


def test_a_database_that_is_not_there_yet_is_no_reason_not_to_start(
    stonechat_process, slixmpp, postgres_server
):
    url = postgres_server.fresh_database()
    fill(url, juliet=new_hash(PASSWORD, "sha512-crypt"))
    postgres_server.stop()
    try:
        process = serve(stonechat_process, url)
        assert refusal(slixmpp, process, "juliet") == "temporary-auth-failure"
    finally:
        postgres_server.start()
    assert let_in(slixmpp, process, "juliet")
