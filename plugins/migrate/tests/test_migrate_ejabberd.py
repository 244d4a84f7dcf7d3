"""What ejabberd has written, and what is wrong with it."""

import sqlite3
from base64 import b64encode
from contextlib import closing

import pytest
from moves import CAPULET, import_

from stonechat.auth import derive_scram
from stonechat.shell import ShellError
from stonechat_migrate.ejabberd import read_ejabberd
from stonechat_migrate.erlang_terms import jids_in
from stonechat_migrate.pie import Begun, read_password

TABLES = """
CREATE TABLE users (username, password, serverkey, salt, iterationcount INTEGER);
CREATE TABLE rosterusers (username, jid, nick, subscription, ask, askmessage);
CREATE TABLE rostergroups (username, jid, grp);
CREATE TABLE spool (username, xml, seq INTEGER PRIMARY KEY);
CREATE TABLE archive (username, timestamp INTEGER, peer, xml, kind, id INTEGER PRIMARY KEY);
CREATE TABLE archive_prefs (username, def, always, never);
CREATE TABLE last (username, seconds, state);
CREATE TABLE vcard (username, vcard);
CREATE TABLE sr_group (name);
"""


@pytest.fixture
def database(tmp_path):
    """The tables of an old version, without those that nobody has used."""
    path = tmp_path / "ejabberd.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(TABLES)
        connection.execute("INSERT INTO users VALUES ('juliet', 'secret', '', '', 0)")
        connection.commit()

    def execute(statement, *values):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(statement, values)
            connection.commit()

    execute.url = f"sqlite:///{path}"
    return execute


def taken(shell, database, **options):
    given = {"source": "ejabberd", "host": CAPULET} | options
    status, report = import_(shell, database.url, **given)
    return status, report, {row["what"] for row in report.get("lost", [])}


def test_rosters_with_what_waits_for_an_answer(capulet, shell, database):
    for row in (
        ("romeo@m.example", "Romeo", "B", "N", ""),
        ("asked@m.example", "", "N", "O", ""),
        ("asking@m.example", "", "N", "I", "Let me!"),
        ("both@m.example", "", "F", "B", ""),
    ):
        database("INSERT INTO rosterusers VALUES ('juliet', ?, ?, ?, ?, ?)", *row)
    database("INSERT INTO rostergroups VALUES ('juliet', 'romeo@m.example', 'Friends')")
    assert taken(shell, database)[0] == 0
    items = {
        item.jid.text: (item.name, item.groups, item.subscription, item.is_asking)
        for item in capulet.plugin("roster").service.contacts("juliet")
    }
    assert items == {
        "romeo@m.example": ("Romeo", ("Friends",), "both", False),
        "asked@m.example": ("", (), "none", True),
        "both@m.example": ("", (), "from", True),
    }
    assert {jid.text for jid in capulet.plugin("roster").service.requests("juliet")} == {
        "asking@m.example"
    }


def test_what_is_malformed_is_lost_and_its_neighbours_are_kept(capulet, shell, database):
    message = "<message from='r@m.example' to='juliet@capulet.example'><body>x</body></message>"
    database("INSERT INTO spool VALUES ('juliet', '<broken', 1)")
    database("INSERT INTO spool VALUES ('juliet', ?, 2)", message)
    database("INSERT INTO archive VALUES ('juliet', 1000000000000000, '', ?, 'chat', 1)", message)
    database("INSERT INTO archive VALUES ('juliet', 2, '', ?, 'groupchat', 2)", message)
    database("INSERT INTO archive VALUES ('juliet', 3, '', ?, 'chat', 3)", b"\x83P\x00\x01")
    database("INSERT INTO vcard VALUES ('juliet', '<vCard')")
    database("INSERT INTO last VALUES ('juliet', 'x', '')")
    database("INSERT INTO users VALUES ('romeo', 'sha9:AAAA', 'AAAA', 'AAAA', 4096)")
    database("INSERT INTO sr_group VALUES ('everybody')")
    status, report, lost = taken(shell, database)
    assert status == 4
    assert (report["accounts_created"], report["accounts_left_out"]) == (1, 1)
    assert lost == {
        "a vCard that is malformed",
        "an activity without a time",
        "an archived message of a room",
        "an archived message that is malformed, or compressed",
        "an offline message that is malformed",
        "credentials that are malformed",
        "shared roster groups",
        "without credentials, an account cannot be created",
    }
    assert {row["number"] for row in report["kept"]} == {1}


def test_preferences_and_the_last_activity(capulet, shell, database):
    never = '[{<<"tybalt">>,<<"m.example">>,<<>>},{<<106,195,188>>,<<"m.example">>,<<"r">>}]'
    database("INSERT INTO archive_prefs VALUES ('juliet', 'never', '[]', ?)", never)
    database("INSERT INTO last VALUES ('juliet', '1000000000', 'Gone')")
    assert taken(shell, database)[0] == 0
    account = capulet.plugin("mam").archive.accounts.find("juliet")
    assert {jid.text for jid in account.never} == {"tybalt@m.example", "j\u00fc@m.example/r"}


@pytest.mark.parametrize(
    ("term", "found"),
    [
        (None, []),
        ("[]", []),
        ('[{<<"a\\"b">>,<<"c.example">>,<<"x y">>}]', ['a"b@c.example/x y']),
        ('[{<<>>,<<"c.example">>,<<>>}]', ["c.example"]),
        ('[{os:cmd("x"),<<>>,<<>>}]', []),
    ],
)
def test_addresses_are_found_in_terms(term, found):
    assert list(jids_in(term)) == found


def test_the_host_of_a_database_of_one_has_to_be_said(capulet, shell, database):
    with pytest.raises(ShellError, match="--host"):
        taken(shell, database, host="")


@pytest.mark.parametrize("url", ["ejabberd.db", "sqlite:////nowhere/x.db", "sqlite://"])
def test_what_is_no_database_of_ejabberd_ends_the_command(capulet, shell, url):
    with pytest.raises(ShellError):
        import_(shell, url, source="ejabberd", host=CAPULET)


def test_versions_with_a_row_for_each_hash_are_read_too(capulet, shell, tmp_path):
    path = tmp_path / "ejabberd.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE users (username, server_host, type, password, serverkey, salt,"
            " iterationcount INTEGER);"
            "CREATE TABLE rosterusers (username, server_host, jid, nick, subscription, ask,"
            " askmessage);"
        )
        for kind, prefix in (("SHA-1", ""), ("SHA-256", "sha256:"), ("SHA-512", "sha512:")):
            scram = derive_scram("pencil", kind, b"salt", 5000)
            row = [
                prefix + b64encode(scram.stored_key).decode(),
                b64encode(scram.server_key).decode(),
                b64encode(scram.salt).decode(),
            ]
            connection.execute(
                "INSERT INTO users VALUES ('juliet', 'capulet.example', 1, ?, ?, ?, 5000)", row
            )
        connection.commit()
    (begun,) = read_ejabberd(f"sqlite:///{path}", "")
    assert isinstance(begun, Begun)
    assert begun.credentials.scram == tuple(
        derive_scram("pencil", kind, b"salt", 5000) for kind in ("SHA-1", "SHA-256", "SHA-512")
    )


def test_hashes_in_the_place_of_a_password_are_known():
    scram = derive_scram("pencil", "SHA-1", b"salt", 4096)
    fields = [b64encode(o).decode() for o in (scram.stored_key, scram.server_key, scram.salt)]
    text = ",".join([*fields, "4096"])
    assert read_password(f"scram:{text}").scram == (scram,)
    assert read_password(f"scram:sha,{text}").scram == (scram,)
    for strange in ("scram:", "scram:a,b,c,d", f"scram:sha9,{text}", text, f"scram:{text}0000000"):
        assert read_password(strange).password == strange
