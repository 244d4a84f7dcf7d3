"""The database is a server of its own, and it stops, restarts and hangs (R5, R6, R9)."""

from __future__ import annotations

import re
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from service import DOMAIN, Client, RobustServer, Stage

from stonechat.testing import PASSWORD, SlixmppPeers
from stonechat.testing.databases import DatabaseServer, MariaServer, PostgresServer, started

# What is promised, and what a busy machine may add to it.
ANSWER_SECONDS = 5.0
RETURN_SECONDS = 2.0
LENIENCE = 3.0

NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"

KINDS = {
    "postgresql": (PostgresServer, PostgresServer.url),
    "mariadb": (MariaServer, MariaServer.url),
    "odbc-postgresql": (PostgresServer, PostgresServer.odbc_url),
    "odbc-mariadb": (MariaServer, MariaServer.odbc_url),
}


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest) -> Iterator[tuple[DatabaseServer, str]]:
    """A server of this test's own, and the URL of a database of it."""
    kind, url_of = KINDS[request.param]
    with started(kind) as server:
        yield server, url_of(server, server.new_database())


class Letters:
    """Romeo writes to the nurse, who is away, and knows which letters were taken."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._number = 0
        self.taken: list[int] = []

    def write(self) -> str:
        """One more letter: the condition it was refused with, or nothing."""
        number = self._number
        self._number += 1
        self._client.send(
            f"<message to='nurse@{DOMAIN}' type='chat' id='letter{number}'>"
            f"<body>{number}</body></message>"
        )
        # What follows is looked at when the letter is stored, or has been sent back.
        said = self._client.ping(f"ping{number}")
        if "type='error'" not in said:
            self.taken.append(number)
            return ""
        assert "type='wait'" in said, said
        condition = re.search(r"<([a-z-]+) xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'", said)
        assert condition is not None, said
        return condition[1]

    def write_until(self, is_so: Callable[[str], bool]) -> float:
        """Go on until one fares so; returns how long the slowest took."""
        slowest = 0.0
        deadline = time.monotonic() + 30
        while True:
            begun = time.monotonic()
            condition = self.write()
            slowest = max(slowest, time.monotonic() - begun)
            if is_so(condition):
                return slowest
            assert condition in ("", "resource-constraint", "internal-server-error")
            assert time.monotonic() < deadline, condition


def served(stage: Stage, url: str) -> RobustServer:
    return stage.server(storage={"url": url}, plugins={"ping": {}, "roster": {}, "offline": {}})


def refusal(client: Client, localpart: str) -> str:
    """What a login is answered with that fails."""
    client.open()
    secret = b64encode(f"\0{localpart}\0{PASSWORD}".encode()).decode()
    client.send(f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{secret}</auth>")
    return client.read_until("</failure>")


def check_letters(stage: Stage, server: RobustServer, letters: Letters) -> None:
    """The nurse gets each letter that was taken."""
    nurse = stage.login(server, "nurse", "room")
    nurse.send("<presence/>")
    came = nurse.read_until(f"<body>{letters.taken[-1]}</body>")
    found = [int(number) for number in re.findall(r"<body>(\d+)</body>", came)]
    assert found == sorted(set(found))
    assert set(letters.taken) <= set(found)


@pytest.mark.parametrize("deed", ["stop", "kill", "pause"])
def test_a_database_that_goes_and_returns(
    stage: Stage, slixmpp: SlixmppPeers, database: tuple[DatabaseServer, str], deed: str
) -> None:
    database_server, url = database
    server = served(stage, url)
    # What it knows by heart it would tell without the database: so nobody asks for Tybalt yet.
    server.process.register(f"tybalt@{DOMAIN}")
    server.process.restart()
    letters = Letters(stage.login(server, "romeo", "desk"))
    conversation = stage.conversation(server)
    for _ in range(5):
        assert letters.write() == ""

    getattr(database_server, deed)()
    slowest = letters.write_until(lambda condition: condition != "")
    # Who is there talks on, and who wants the database is told so before long.
    conversation.goes_on(200)
    slowest = max(slowest, letters.write_until(lambda condition: condition != ""))
    assert slowest < ANSWER_SECONDS + LENIENCE
    begun = time.monotonic()
    assert "<temporary-auth-failure/>" in refusal(stage.connect(server), "tybalt")
    assert time.monotonic() - begun < ANSWER_SECONDS + LENIENCE

    if deed == "pause":
        database_server.resume()
    else:
        database_server.start()
    returned = time.monotonic()
    letters.write_until(lambda condition: condition == "")
    assert time.monotonic() - returned < RETURN_SECONDS + LENIENCE
    for _ in range(5):
        assert letters.write() == ""
    conversation.goes_on()
    conversation.finish()
    assert server.process.is_running
    slixmpp.login(server.process, f"tybalt@{DOMAIN}/street")
    check_letters(stage, server, letters)
    # A line when it went and one when it returned, not one for each who was refused.
    told = [r for r in server.process.records if r.get("logger", "") == "stonechat.store"]
    assert len(told) < 10, told


def test_a_restart_of_the_database_and_one_of_the_server_keep_everything(
    stage: Stage, database: tuple[DatabaseServer, str]
) -> None:
    database_server, url = database
    server = served(stage, url)
    letters = Letters(stage.login(server, "romeo", "desk"))
    for _ in range(5):
        letters.write()
    database_server.restart()
    letters.write_until(lambda condition: condition == "")
    server.process.kill()
    server.process.start()
    check_letters(stage, server, letters)


@pytest.fixture
def encrypted_server(needs: Callable[..., None]) -> Iterator[tuple[MariaServer, Path]]:
    """MariaDB with a certificate, and that."""
    needs("openssl", "mariadbd")
    server = MariaServer()
    try:
        key, certificate = (server.directory / name for name in ("key.pem", "certificate.pem"))
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )
        key.chmod(0o644)
        server.options = (f"--ssl-cert={certificate}", f"--ssl-key={key}")
        server.start()
        yield server, certificate
    finally:
        server.close()


def test_a_database_may_be_spoken_to_by_tls(
    stage: Stage, encrypted_server: tuple[MariaServer, Path]
) -> None:
    """PyMySQL then waits in gevent's way, in threads that are not gevent's."""
    server, certificate = encrypted_server
    url = f"{server.fresh_database()}?ssl_ca={certificate}"
    letters = Letters(stage.login(served(stage, url), "romeo", "desk"))
    assert [letters.write() for _ in range(5)] == [""] * 5
    assert int(server.execute("SHOW GLOBAL STATUS LIKE 'Ssl_accepts'")[0][1]) > 0
    server.pause()
    assert letters.write_until(lambda condition: condition != "") < ANSWER_SECONDS + LENIENCE
    server.resume()
    letters.write_until(lambda condition: condition == "")


def test_db_upgrade_works_and_backup_and_check_say_what_to_use(
    stage: Stage, database: tuple[DatabaseServer, str]
) -> None:
    _, url = database
    server = served(stage, url)
    for command in (("db", "check"), ("db", "backup", "copy.db")):
        for _ in range(2):
            done = server.process.command(*command)
            assert done.returncode != 0
            said = done.stdout + done.stderr
            assert re.search("pg_dump|pg_amcheck|mysqldump|mysqlcheck", said), said
            assert "wherefore" not in said
            if server.process.is_running:
                server.process.stop()
        server.process.start()
    server.process.stop()
    assert "up to date" in server.process.run("db", "upgrade")
