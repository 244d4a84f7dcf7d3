"""What goes out comes in again, and nothing changes by coming twice."""

from moves import CAPULET, NS_PRIVATE, data_of, export, fill, import_

from stonechat.stanza import Message


def test_everything_comes_out_and_goes_into_another_server(server, capulet, shell, tmp_path):
    fill(capulet)
    before = data_of(shell, f"juliet@{CAPULET}")
    assert export(shell, tmp_path / "all.xml")["accounts"] == 2
    text = (tmp_path / "all.xml").read_text()
    for namespace in (
        "jabber:iq:roster",
        "vcard-temp",
        NS_PRIVATE,
        "jabber:iq:privacy",
        "urn:xmpp:blocking",
        "urn:xmpp:pie:0#mam",
        "jabber:iq:last",
        "<offline-messages",
        "<presence",
        "<prefs",
    ):
        assert namespace in text
    for name in ("juliet", "nurse"):
        server.command("unregister", jid=f"{name}@{CAPULET}")
    status, report = import_(shell, tmp_path / "all.xml")
    assert (status, report["accounts_created"]) == (0, 2), report
    assert data_of(shell, f"juliet@{CAPULET}") == before
    juliet = capulet.connect(f"juliet@{CAPULET}/orchard")
    juliet.available()
    bodies = [m.element.find_text("body") for m in juliet.received() if isinstance(m, Message)]
    assert 'Where\'s my "lady"?' in bodies


def test_what_comes_twice_changes_nothing(server, capulet, shell, tmp_path):
    fill(capulet)
    before = data_of(shell, f"juliet@{CAPULET}")
    export(shell, tmp_path / "all.xml")
    for _ in range(2):
        status, report = import_(shell, tmp_path / "all.xml")
        assert status == 0, report
        assert report["accounts_created"] == 0
        assert "kept" not in report
        assert data_of(shell, f"juliet@{CAPULET}") == before


def test_a_dry_run_says_the_same_and_writes_nothing(server, capulet, shell, tmp_path):
    fill(capulet)
    export(shell, tmp_path / "all.xml")
    for name in ("juliet", "nurse"):
        server.command("unregister", jid=f"{name}@{CAPULET}")
    status, dry = import_(shell, tmp_path / "all.xml", dry_run=True)
    assert status == 0
    assert server.command("registered-users", host=CAPULET) == []
    _, wet = import_(shell, tmp_path / "all.xml")

    def without_blocked(rows):
        # The privacy lists, once they are there, say the same.
        return [row for row in rows if "urn:xmpp:blocking" not in row["data"]]

    assert without_blocked(dry["would_be_kept"]) == without_blocked(wet["kept"])
    assert dry["accounts_that_would_be_created"] == wet["accounts_created"] == 2


def test_files_may_be_one_for_each_account(server, capulet, shell, tmp_path):
    fill(capulet)
    before = data_of(shell, f"juliet@{CAPULET}")
    export(shell, tmp_path / "all", split=True)
    assert sorted(path.name for path in (tmp_path / "all" / CAPULET).iterdir()) == [
        "juliet.xml",
        "nurse.xml",
    ]
    assert (tmp_path / "all").stat().st_mode & 0o077 == 0
    assert (tmp_path / "all" / CAPULET / "juliet.xml").stat().st_mode & 0o077 == 0
    for name in ("juliet", "nurse"):
        server.command("unregister", jid=f"{name}@{CAPULET}")
    status, report = import_(shell, tmp_path / "all")
    assert (status, report["accounts_created"]) == (0, 2)
    assert data_of(shell, f"juliet@{CAPULET}") == before
