"""An administrator moves a server with its people from one database to another."""

from __future__ import annotations

from typing import Any

import pytest

DOMAIN = "capulet.example"
JULIET = f"juliet@{DOMAIN}"
NURSE = f"nurse@{DOMAIN}"
PLUGINS: dict[str, Any] = {
    name: {} for name in ("roster", "offline", "mam", "vcard", "private", "blocking", "last")
}


def configuration(url: str = "sqlite:///stonechat.db") -> dict[str, Any]:
    return {"hosts": {DOMAIN: {}}, "plugins": PLUGINS, "storage": {"url": url}}


def archive_of(server: Any, jid: str) -> int:
    """How many messages an account's archive holds."""
    return int(server.run("mam-count", jid))


def live(server: Any, slixmpp: Any) -> None:
    """Something of everything that a server keeps."""
    server.register("juliet@capulet.example", "nurse@capulet.example")
    juliet = slixmpp.login(server, f"{JULIET}/balcony")
    juliet.get_roster()
    juliet.run(lambda: juliet.xmpp.update_roster(NURSE, name="Angélique \N{BABY}"))
    juliet.push(NURSE)
    juliet.say(NURSE, "What o'clock to-morrow shall I send to thee?")
    juliet.say(NURSE, "'Tis twenty years till then. \N{ROSE}")
    juliet.sync()
    juliet.leave()


def check(server: Any, slixmpp: Any) -> None:
    """All of it is there: each logs in with the password of before."""
    nurse = slixmpp.login(server, f"{NURSE}/kitchen")
    nurse.available()
    assert [nurse.message()["body"] for _ in range(2)] == [
        "What o'clock to-morrow shall I send to thee?",
        "'Tis twenty years till then. \N{ROSE}",
    ]
    juliet = slixmpp.login(server, f"{JULIET}/balcony")
    assert juliet.get_roster()[NURSE]["name"] == "Angélique \N{BABY}"
    assert archive_of(server, JULIET) == 2
    # And it goes on being written.
    juliet.say(NURSE, "I have forgot why I did call thee back.")
    assert nurse.message()["body"] == "I have forgot why I did call thee back."
    assert archive_of(server, JULIET) == 3


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_people_find_everything_after_a_move(
    stonechat_process: Any, slixmpp: Any, request: pytest.FixtureRequest, kind: str
) -> None:
    fixture = {"postgresql": "postgres_server", "mariadb": "maria_server"}[kind]
    url = request.getfixturevalue(fixture).fresh_database()
    server = stonechat_process(configuration())
    live(server, slixmpp)
    busy = server.command("db", "migrate", "--to", url)
    assert busy.returncode == 1
    assert "another server" in busy.stderr or "in use" in busy.stderr
    server.stop()
    assert "mam_messages" in server.run("db", "migrate", "--to", url)
    again = server.command("db", "migrate", "--to", url)
    assert again.returncode == 1
    assert "has data already" in again.stderr
    server.configure(configuration(url))
    server.start()
    check(server, slixmpp)
    assert server.stop() == 0
    # And back, to a file elsewhere.
    (server.directory / "back").mkdir()
    server.run("db", "migrate", "--to", "sqlite:///../back/stonechat.db")
    server.configure(configuration("sqlite:///../back/stonechat.db"))
    server.start()
    assert archive_of(server, JULIET) == 3
    assert NURSE in slixmpp.login(server, f"{JULIET}/balcony").get_roster()
