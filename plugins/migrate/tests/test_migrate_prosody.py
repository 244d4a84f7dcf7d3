"""What Prosody has written, read without running any of it."""

import json
import sqlite3
from contextlib import closing

import pytest
from moves import CAPULET, import_

from stonechat.shell import ShellError
from stonechat.stanza import Element
from stonechat_migrate.lua_data import octets, read_items, read_value
from stonechat_migrate.pie import Begun, Lost
from stonechat_migrate.prosody import read_prosody


@pytest.fixture
def file(tmp_path):
    def file(text):
        path = tmp_path / "data.dat"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return file


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("return {};\n", {}),
        ("return { 1, 2; 3 }", {1: 1, 2: 2, 3: 3}),
        ('return { ["a b"] = "c"; d = true, [false] = nil; [7] = -1.5e3 }',
         {"a b": "c", "d": True, 7: -1500.0}),
        ('return { [false] = { version = 3 } }', {False: {"version": 3}}),
        (r'return "\097\"\\\n\x41\z   b\9"', 'a"\\\nAb\t'),
        ("return 'it\\'s'", "it's"),
        ("return [[\nlong [x] ]]", "long [x] "),
        ("return [==[ ]] ]==]", " ]] "),
        ("-- a comment\nreturn --[[ another\n]] 0x1F", 31),
        ("return (1/0)", None),
        ('return "a\\\nb"', "a\nb"),
        ('return "\\195\\164"', "\u00e4"),
        ('return {{{"deep"}}}', {1: {1: {1: "deep"}}}),
    ],
)  # fmt: skip
def test_values_are_what_lua_has_written(file, text, value):
    assert read_value(file(text)) == value


def test_octets_that_are_no_text_come_back_as_they_were(file):
    value = read_value(file('return "\\255\\000a"'))
    assert octets(value) == b"\xff\0a"


@pytest.mark.parametrize(
    "text",
    [
        'return os.execute("touch /tmp/x")',
        "os.exit()",
        "return function() end",
        'return { os.execute("x") }',
        "return {",
        'return "open',
        "return 1 + 1",
        "return {} return {}",
        "return { [nil] = 1 }",
        "return { [{}] = 1 }",
        "return " + "{" * 500 + "}" * 500,
        "\x1bLua",
    ],
)
def test_programs_are_refused_and_not_run(file, text):
    with pytest.raises(ShellError, match="line 1"):
        read_value(file(text))


def test_a_list_is_read_item_by_item(file):
    path = file('item({ "a" });\nitem({ "b" });\n\nbroken')
    items = read_items(path)
    assert next(items) == {1: "a"}
    assert next(items) == {1: "b"}
    with pytest.raises(ShellError, match="line 4"):
        next(items)


def test_what_is_not_there_is_empty(tmp_path):
    assert read_value(tmp_path / "none.dat") is None
    assert list(read_items(tmp_path / "none.list")) == []


@pytest.fixture
def data(tmp_path):
    """A data directory; `put(store, user, text)` writes a file of a host."""
    directory = tmp_path / "prosody"

    def put(store, user, text, ending="dat", host="capulet%2eexample"):
        place = directory / host / store
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{user}.{ending}").write_text(text)

    put.path = str(directory)
    return put


def parts_of(data):
    return list(read_prosody(data.path))


def test_names_are_read_back_from_those_of_files(data):
    data("accounts", "j%c3%bcliet%2ec", 'return { password = "x" }')
    assert parts_of(data)[0][:2] == (CAPULET, "j\u00fcliet.c")


def test_keys_of_every_hash_are_known_by_their_length(data):
    for user, size in (("a", 20), ("b", 32), ("c", 64), ("d", 5)):
        key = "00" * size
        data(
            "accounts",
            user,
            f'return {{ iteration_count = 10000; salt = "s"; stored_key = "{key}";'
            f' server_key = "{key}" }}',
        )
    found = parts_of(data)
    begun = [part for part in found if isinstance(part, Begun)]
    hashes = [[scram.hash_name for scram in one.credentials.scram] for one in begun]
    assert hashes == [["SHA-1"], ["SHA-256"], ["SHA-512"], []]
    assert found[-1] == Lost("credentials that are malformed")


def test_rosters_of_all_ages(data):
    data("accounts", "juliet", 'return { password = "x" }')
    data(
        "roster",
        "juliet",
        """return {
            [false] = { version = 3; pending = { ["a@a.example"] = true;
                ["b@a.example"] = { name = "presence"; attr = { type = "subscribe" };
                    { name = "status"; attr = {}; "I am B" } } } };
            ["pending"] = { ["c@a.example"] = true };
            ["romeo@montague.example"] = { subscription = "both"; name = "Romeo";
                groups = { ["Friends"] = true } };
            ["x@x.example"] = { subscription = "none"; ask = "subscribe" };
        }""",
    )
    _, query, *requests = parts_of(data)
    assert "<group>Friends</group>" in str(query)
    assert "ask='subscribe'" in str(query)
    assert [r.get("from") for r in requests] == ["c@a.example", "a@a.example", "b@a.example"]
    assert requests[2].find_text("status") == "I am B"


def test_stanzas_keep_namespaces_languages_and_texts(data):
    data("accounts", "juliet", 'return { password = "x" }')
    data(
        "offline",
        "juliet",
        """item({ name = "message"; when = 1000000000.5;
            attr = { from = "romeo@a.example/x"; ["xml:lang"] = "it"; stamp = "x" };
            { name = "body"; attr = {}; "Ciao \\"bella\\"" };
            { name = "x"; attr = { xmlns = "urn:example:x"; ["urn:example:y\\001z"] = "1" };
              { name = "inner"; attr = {} } } });
        """,
        "list",
    )
    (message,) = parts_of(data)[1].elements
    assert message.find_text("body") == 'Ciao "bella"'
    assert message.lang == "it"
    assert "stamp" not in message.attributes
    inner = message.find("x", "urn:example:x")
    assert inner.get("urn:example:y z") == "1"
    assert inner.first().namespace == "urn:example:x"
    assert message.find("delay", "urn:xmpp:delay").get("stamp") == "2001-09-09T01:46:40.500000Z"


def test_privacy_lists_block_lists_and_preferences(data):
    data("accounts", "juliet", 'return { password = "x" }')
    data(
        "privacy",
        "juliet",
        """return { default = "work"; lists = { work = { name = "work"; items = {
            { type = "jid"; value = "tybalt@a.example"; action = "deny"; order = 1;
              ["presence-in"] = true } } } } }""",
    )
    data("blocklist", "juliet", 'return { [false] = { created = 1 }; ["p@a.example"] = true }')
    data("archive_prefs", "juliet", 'return { [false] = "roster"; ["n@a.example"] = false }')
    _, privacy, blocked, prefs = map(str, parts_of(data)[0:1] + parts_of(data)[1:])
    assert "<default name='work'/>" in privacy
    assert "order='1'><presence-in/></item>" in privacy
    assert blocked == "<blocklist xmlns='urn:xmpp:blocking'><item jid='p@a.example'/></blocklist>"
    assert "default='roster'><always/><never><jid>n@a.example</jid></never>" in prefs


def test_what_nobody_knows_is_named(data):
    data("accounts", "juliet", 'return { password = "x" }')
    data("invites", "juliet", "return {}")
    data("smacks_h", "juliet", "return {}")
    data("config", "room", "return {}", host="rooms%2ecapulet%2eexample")
    lost = [part.text for part in parts_of(data) if isinstance(part, Lost)]
    assert lost == [
        "what Prosody keeps as 'invites'",
        "what is kept for rooms.capulet.example, which has no accounts",
    ]


def test_nodes_come_with_their_configuration_and_items(data):
    data("accounts", "juliet", 'return { password = "x" }')
    data(
        "pep",
        "juliet",
        'return { ["urn:example:tune"] = { config = { access_model = "open"; max_items = 1;'
        ' persist_items = true }; affiliations = { ["r@a.example"] = "member" } } }',
    )
    data(
        "pep_urn%3aexample%3atune",
        "juliet",
        'item({ key = "1"; name = "item"; attr = { id = "1"; publisher = "j";'
        ' xmlns = "http://jabber.org/protocol/pubsub" };'
        ' { name = "tune"; attr = { xmlns = "urn:example:tune" } } });',
        "list",
    )
    _, owner, items = parts_of(data)
    assert isinstance(owner, Element)
    assert "<field var='pubsub#persist_items'><value>1</value></field>" in str(owner)
    assert "<item id='1'><tune xmlns='urn:example:tune'/></item>" in str(items)


def test_a_database_says_the_same_as_files(tmp_path, capulet, shell):
    path = tmp_path / "prosody.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE prosody (host, user, store, key, type, value);"
            "CREATE TABLE prosodyarchive (sort_id INTEGER PRIMARY KEY, host, user, store, key,"
            ' "when", "with", type, value);'
        )
        pending = {"pending": {"p@a.example": True}}
        roster = {
            "romeo@montague.example": {"subscription": "to", "groups": {"A": True}},
        }
        rows = [
            ("accounts", "password", "string", "secret"),
            *(("roster", jid, "json", json.dumps(item)) for jid, item in roster.items()),
            ("roster", "", "json", json.dumps({"__hash": [False, pending]})),
            ("vcard", "name", "string", "vCard"),
            ("vcard", "attr", "json", '{"xmlns": "vcard-temp"}'),
            ("vcard", "", "json", '[{"name": "FN", "attr": {}, "__array": ["Juliet"]}]'),
        ]  # fmt: skip
        connection.executemany(
            "INSERT INTO prosody VALUES ('capulet.example', 'juliet', ?, ?, ?, ?)", rows
        )
        message = "<message from='r@a.example' type='chat'><body>Hark!</body></message>"
        connection.execute(
            "INSERT INTO prosodyarchive VALUES (1, 'capulet.example', 'juliet', 'offline', 'k',"
            " 1000000000, '', 'xml', ?)",
            (message,),
        )
        connection.execute(
            "INSERT INTO prosodyarchive VALUES (2, 'capulet.example', 'juliet', 'offline', 'l',"
            " 1000000001, '', 'xml', '<broken')"
        )
        connection.commit()
    status, report = import_(shell, f"sqlite:///{path}", source="prosody")
    assert status == 4
    assert [row["what"] for row in report["lost"]] == ["an offline message that is malformed"]
    assert {row["data"]: row["number"] for row in report["kept"]} == {
        "query jabber:iq:roster": 1,
        "presence jabber:client": 1,
        "vCard vcard-temp": 1,
        "offline-messages urn:xmpp:pie:0": 1,
    }


@pytest.mark.parametrize(
    "source", ["nowhere", "sqlite:////nowhere/at/all.sqlite", "unknown://x", "{tmp}"]
)
def test_what_is_no_data_of_prosody_ends_the_command(capulet, shell, tmp_path, source):
    with pytest.raises(ShellError):
        import_(shell, source.format(tmp=tmp_path), source="prosody")


def test_an_unknown_source_is_refused(capulet, shell):
    with pytest.raises(ShellError, match="--from"):
        import_(shell, "x", source="jabberd14")
