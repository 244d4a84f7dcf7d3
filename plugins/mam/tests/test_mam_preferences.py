"""What users say about what is archived (XEP-0441)."""

import pytest

from stonechat.errors import StorageError
from stonechat.testing.client import error_of

NS_MAM = "urn:xmpp:mam:2"
JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"


def prefs(default, always=(), never=()):
    lists = "".join(
        f"<{name}>{''.join(f'<jid>{jid}</jid>' for jid in jids)}</{name}>"
        for name, jids in (("always", always), ("never", never))
    )
    return f"<prefs xmlns='{NS_MAM}' default='{default}'>{lists}</prefs>"


def read(payload):
    """default, always, never."""
    assert payload.qualified_name == f"{NS_MAM} prefs"
    lists = [
        [jid.text for jid in payload.find(name).find_all("jid")] for name in ("always", "never")
    ]
    return payload.get("default"), *lists


def test_who_has_said_nothing_gets_what_the_operator_says(server):
    host = server.host("capulet.example", mam={"default": "never"})
    juliet = host.connect(f"{JULIET}/balcony")
    assert read(juliet.get(f"<prefs xmlns='{NS_MAM}'/>").payload) == ("never", [], [])


def test_preferences_are_kept(server, capulet, juliet):
    wanted = prefs("roster", [ROMEO, "friar@verona.example/cell"], ["tybalt@capulet.example"])
    said = ("roster", ["friar@verona.example/cell", ROMEO], ["tybalt@capulet.example"])
    assert read(juliet.set(wanted).payload) == said
    assert read(juliet.get(f"<prefs xmlns='{NS_MAM}'/>").payload) == said
    server.restart()
    juliet = capulet.connect(f"{JULIET}/balcony")
    assert read(juliet.get(f"<prefs xmlns='{NS_MAM}'/>").payload) == said
    # What is left out is empty.
    assert read(juliet.set(f"<prefs xmlns='{NS_MAM}' default='never'/>").payload) == (
        "never",
        [],
        [],
    )


@pytest.mark.parametrize(
    ("wanted", "from_balcony", "from_orchard"),
    [
        (prefs("always"), True, True),
        (prefs("never"), False, False),
        (prefs("never", always=[ROMEO]), True, True),
        (prefs("always", never=[ROMEO]), False, False),
        (prefs("never", always=[f"{ROMEO}/orchard"]), False, True),
        (prefs("always", never=[f"{ROMEO}/orchard"]), True, False),
        # What names the resource is meant, and else who does not want it.
        (prefs("never", always=[f"{ROMEO}/orchard"], never=[ROMEO]), False, True),
        (prefs("always", always=[ROMEO], never=[ROMEO]), False, False),
        # Nobody has a roster here.
        (prefs("roster"), False, False),
    ],
)
def test_they_are_obeyed(capulet, juliet, ask, wanted, from_balcony, from_orchard):
    juliet.set(wanted)
    for resource, expected in (("balcony", from_balcony), ("orchard", from_orchard)):
        romeo = capulet.connect(f"{ROMEO}/{resource}")
        before = len(ask(juliet).results)
        romeo.message(JULIET, "Ay me!")
        juliet.message(romeo.jid, "Ay me!")
        assert len(ask(juliet).results) - before == (2 if expected else 0)
        # His own archive is his own matter.
        assert len(ask(romeo).results) >= 2


def test_what_is_not_archived_has_no_id(juliet, romeo):
    juliet.set(prefs("never"))
    romeo.message(JULIET, "Ay me!")
    assert "urn:xmpp:sid:0 stanza-id" not in juliet.receive_message().children


def test_the_roster_decides_where_that_is_wanted(server, ask):
    host = server.host("capulet.example", mam={"default": "roster"}, roster={})
    juliet = host.connect(f"{JULIET}/balcony")
    romeo = host.connect(f"{ROMEO}/orchard")
    tybalt = host.connect("tybalt@capulet.example/street")
    juliet.set(f"<query xmlns='jabber:iq:roster'><item jid='{ROMEO}'/></query>")
    romeo.message(JULIET, "1")
    tybalt.message(JULIET, "2")
    juliet.message(JULIET, "3")
    assert ask(juliet).bodies == ["1", "3"]


def test_the_operator_may_keep_the_choice(server):
    host = server.host("capulet.example", mam={"users_choose": False})
    juliet = host.connect(f"{JULIET}/balcony")
    assert error_of(juliet.request("set", prefs("never"))).condition == "not-allowed"
    assert read(juliet.get(f"<prefs xmlns='{NS_MAM}'/>").payload)[0] == "always"


@pytest.mark.parametrize(
    ("payload", "condition"),
    [
        (f"<prefs xmlns='{NS_MAM}'/>", "bad-request"),
        (prefs("sometimes"), "bad-request"),
        (prefs("always", ["@"]), "jid-malformed"),
        (prefs("always", [""]), "jid-malformed"),
        (prefs("always", [f"user{n}@capulet.example" for n in range(4)]), "policy-violation"),
        (prefs("always", (), [f"user{n}@capulet.example" for n in range(4)]), "policy-violation"),
    ],
)
def test_what_is_malformed_or_too_much_is_refused(server, payload, condition):
    host = server.host("capulet.example", mam={"max_listed": 3})
    juliet = host.connect(f"{JULIET}/balcony")
    assert error_of(juliet.request("set", payload)).condition == condition
    assert read(juliet.get(f"<prefs xmlns='{NS_MAM}'/>").payload) == ("always", [], [])


def test_an_address_that_is_listed_twice_counts_once(server):
    host = server.host("capulet.example", mam={"max_listed": 1})
    juliet = host.connect(f"{JULIET}/balcony")
    answer = juliet.set(prefs("always", [ROMEO, "ROMEO@capulet.example"]))
    assert read(answer.payload) == ("always", [ROMEO], [])


def test_what_is_not_written_down_is_not_said_to_be(server, juliet, monkeypatch):
    server.expect_errors()
    with monkeypatch.context() as broken:

        def write(work, **_):
            raise StorageError("out of order")

        broken.setattr(server.kernel.store, "write", write)
        error = error_of(juliet.request("set", prefs("never")))
        assert (error.condition, error.type) == ("internal-server-error", "wait")
    assert read(juliet.get(f"<prefs xmlns='{NS_MAM}'/>").payload)[0] == "always"
