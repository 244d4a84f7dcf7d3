"""Files of XEP-0227 that others have written, and what is wrong with them."""

import os

import pytest
from moves import CAPULET, export, import_

from stonechat.commands import CommandError
from stonechat.errors import StanzaError
from stonechat.shell import ShellError
from stonechat_migrate.pie_reader import read_pie

XI = "http://www.w3.org/2001/XInclude"
USER = "<user xmlns='urn:xmpp:pie:0' name='{}' password='secret'>{}</user>"
VCARD = "<vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard>"
# As the XEP has it ("SCRAM credentials"), but for a password that is known: "pencil".
SCRAM = (
    "<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='{}'><iter-count>{}</iter-count>"
    "<salt>QSXCR+Q6sek8bf92</salt><server-key>D+CSWLOshSulAsxiupA+qs2/fTE=</server-key>"
    "<stored-key>6dlGYMOdZcOPutkcNY8U2g7vK9Y=</stored-key></scram-credentials>"
)


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def server_data(*users, host=CAPULET):
    inside = "".join(users)
    return f"<server-data xmlns='urn:xmpp:pie:0'><host jid='{host}'>{inside}</host></server-data>"


def lost(report):
    return {row["what"]: row["number"] for row in report.get("lost", [])}


def test_included_files_are_read_in_their_places(capulet, shell, write):
    write("b/host.xml", f"<host xmlns='urn:xmpp:pie:0' xmlns:xi='{XI}' jid='{CAPULET}'>"
          "<xi:include href='the%20users/juliet.xml'/></host>")  # fmt: skip
    write("b/the users/x", "")
    (write("x", "").parent / "b/the users/juliet.xml").write_text(
        f"<user xmlns='urn:xmpp:pie:0' xmlns:xi='{XI}' name='juliet' password='secret'>"
        "<xi:include href='../card.xml'/></user>"
    )
    write("b/card.xml", VCARD)
    main = write(
        "main.xml",
        f"<server-data xmlns='urn:xmpp:pie:0' xmlns:xi='{XI}'>"
        "<xi:include href='b/host.xml'/></server-data>",
    )
    status, report = import_(shell, main)
    assert (status, report["accounts_created"]) == (0, 1), report
    juliet = capulet.connect(f"juliet@{CAPULET}/balcony")
    assert capulet.plugin("vcard").cards.get("juliet").find_text("FN") == "Juliet"
    juliet.disconnect()


def test_what_is_deeper_than_an_account_s_child_is_its_own(capulet, shell, write):
    """Data of users is never taken for an order to read files (XEP-0227)."""
    write("secret.xml", VCARD)
    include = f"<include xmlns='{XI}' href='secret.xml'/>"
    inside = f"<query xmlns='jabber:iq:private'><x xmlns='urn:example:x'>{include}</x></query>"
    status, _ = import_(shell, write("main.xml", server_data(USER.format("juliet", inside))))
    assert status == 0
    (kept,) = capulet.plugin("private").store.all("juliet")
    assert kept.first().name == "include"


@pytest.mark.parametrize(
    "attributes",
    [
        "href='../outside.xml'",
        "href='/etc/passwd'",
        "href='file:///etc/passwd'",
        "href='http://montague.example/x.xml'",
        "href='%2e%2e/outside.xml'",
        "href='x.xml' parse='text'",
        "href='x.xml' xpointer='x'",
        "",
    ],
)
def test_no_file_is_read_that_is_not_beside_the_first(capulet, shell, write, attributes):
    write("outside.xml", VCARD)
    include = f"<include xmlns='{XI}' {attributes}/>"
    main = write("in/main.xml", server_data(USER.format("juliet", include)))
    status, report = import_(shell, main)
    assert status == 4
    assert "kept" not in report
    assert len(lost(report)) == 1


def test_a_link_leads_nowhere_either(capulet, shell, write, tmp_path):
    write("outside.xml", VCARD)
    main = write("in/main.xml", server_data(USER.format("juliet", f"<include xmlns='{XI}'"
                 " href='link.xml'/>")))  # fmt: skip
    os.symlink(tmp_path / "outside.xml", tmp_path / "in" / "link.xml")
    assert import_(shell, main)[0] == 4


def test_files_that_include_each_other_come_to_an_end(write):
    main = write("a.xml", f"<xi:include xmlns:xi='{XI}' href='b.xml'/>")
    write("b.xml", f"<xi:include xmlns:xi='{XI}' href='a.xml'/>")
    with pytest.raises(ShellError, match="circles"):
        list(read_pie(main))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not XML",
        "<server-data xmlns='urn:xmpp:pie:0'><host>",
        "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><server-data>&e;</server-data>",
        "<other/>",
    ],
)
def test_what_is_no_such_file_ends_the_command(capulet, shell, write, text):
    with pytest.raises(ShellError):
        import_(shell, write("main.xml", text))
    with pytest.raises(ShellError):
        import_(shell, "nowhere.xml")


def test_what_nobody_takes_is_named(capulet, shell, write):
    inside = "<x xmlns='urn:example:x'/><pubsub xmlns='http://jabber.org/protocol/pubsub'/>"
    text = server_data(USER.format("juliet", inside), USER.format("romeo", inside), "<y/>")
    status, report = import_(shell, write("main.xml", text))
    assert status == 4
    assert {what.partition(":")[0]: n for what, n in lost(report).items()} == {
        "<x xmlns='urn": 2,
        "<y xmlns='urn": 1,
    }
    (row,) = [row for row in report["lost"] if "example" in row["what"]]
    assert row["for_example"] == [f"juliet@{CAPULET}", f"romeo@{CAPULET}"]


def test_accounts_that_cannot_be_made_are_named_and_the_others_are_made(capulet, shell, write):
    users = [
        "<user/>",
        "<user name='@'/>",
        "<user name='paris'/>",
        "<user name='tybalt' password='&#9;'/>",
        USER.format("juliet", VCARD),
    ]
    text = server_data(*users).replace("</server-data>", "")
    text += server_data(USER.format("romeo", VCARD), host="montague.example").partition(">")[2]
    status, report = import_(shell, write("main.xml", text))
    assert status == 4
    assert (report["accounts_created"], report["accounts_left_out"]) == (1, 5), report
    assert report["kept"] == [{"data": "vCard vcard-temp", "number": 1}]
    assert lost(report)["accounts of montague.example, which is not served here"] == 1
    assert lost(report)["without credentials, an account cannot be created"] == 1


def test_hashes_of_passwords_come_along(server, shell, write):
    server.configure(auth=["internal"])
    capulet = server.host(CAPULET, migrate={})
    users = [
        f"<user name='juliet'>{SCRAM.format('SCRAM-SHA-1', 4096)}</user>",
        f"<user name='romeo'>{SCRAM.format('SCRAM-SHA-1', '04096')}</user>",
        f"<user name='paris'>{SCRAM.format('SCRAM-MD5', 4096)}</user>",
        f"<user name='nurse'>{SCRAM.format('SCRAM-SHA-1', 4096).replace('QSX', '!')}</user>",
        f"<user name='tybalt'>{SCRAM.format('SCRAM-SHA-256', 4096)}</user>",
        f"<user name='peter'>{SCRAM.format('SCRAM-SHA-1', 999_999_999)}</user>",
    ]
    main = write("main.xml", server_data(*users))
    status, report = import_(shell, main)
    assert (status, report["accounts_created"], report["accounts_left_out"]) == (4, 1, 5), report
    accounts = capulet.kernel.accounts
    assert accounts.check_password("juliet", "pencil")
    assert not accounts.check_password("juliet", "pen")
    again = import_(shell, main)[1]
    assert again["accounts_known_before"] == 1
    assert not any("keeps its password" in what for what in lost(again))


def test_an_account_that_is_there_keeps_its_password(capulet, shell, write):
    capulet.create_account("juliet", "mine")
    status, report = import_(shell, write("main.xml", server_data(USER.format("juliet", VCARD))))
    assert (status, report["accounts_known_before"]) == (4, 1)
    assert "the account is there already, and keeps its password" in lost(report)
    assert capulet.kernel.accounts.check_password("juliet", "mine")
    assert report["kept"] == [{"data": "vCard vcard-temp", "number": 1}]


def test_one_account_alone_can_be_taken(capulet, shell, write):
    users = [USER.format(name, VCARD) for name in ("juliet", "romeo")]
    main = write("main.xml", server_data(*users))
    status, report = import_(shell, main, user=f"romeo@{CAPULET}")
    assert (status, report["accounts_created"]) == (0, 1)
    assert list(capulet.kernel.accounts) == ["romeo"]


def test_a_host_without_the_plugin_is_told_how_to_change_that(server, shell, write):
    server.host(CAPULET)
    with pytest.raises(ShellError, match="migrate"):
        import_(shell, write("main.xml", server_data()))


def test_a_store_that_fails_ends_it_and_it_can_be_begun_anew(capulet, shell, write, monkeypatch):
    main = write("main.xml", server_data(*(USER.format(n, VCARD) for n in ("juliet", "romeo"))))
    cards = capulet.plugin("vcard").cards

    def full(*_arguments, **_options):
        raise StanzaError("resource-constraint", "the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(cards, "get", full)
        with pytest.raises(ShellError, match=r"juliet@.*begun anew.*disk is full"):
            import_(shell, main)
    status, report = import_(shell, main)
    assert (status, report["accounts_created"], report["accounts_known_before"]) == (0, 1, 1)


def test_one_account_goes_in_and_out_in_bounded_parts(capulet, shell, write):
    items = "".join(f"<item jid='{n}@montague.example' name='{'x' * 240}'/>" for n in range(1000))
    roster = f"<query xmlns='jabber:iq:roster'>{items}</query>"
    import_(shell, write("main.xml", server_data(USER.format("juliet", roster))))
    sizes = [len(given["user"]) for name, given in shell.calls if name == "migrate-import"]
    assert len(sizes) > 2
    assert max(sizes) < 200_000
    found, token, answers = 0, "", 0
    while token or not answers:
        answer = shell.run("migrate-export", jid=f"juliet@{CAPULET}", token=token)
        assert len(answer["user"]) < 600_000
        found += answer["user"].count("<item ")
        answers, token = answers + 1, answer["token"]
    assert (answers, found) == (2, 1000)
    with pytest.raises(ShellError, match="begin anew"):
        shell.run("migrate-export", jid=f"juliet@{CAPULET}", token="0" * 32)


def test_what_nobody_goes_on_with_is_given_up(capulet, shell, server):
    readings = capulet.plugin("migrate").names
    tokens = [readings.put_by(iter(())) for _ in range(10)]
    for token in tokens[:2]:
        with pytest.raises(CommandError, match="begin anew"):
            readings.go_on(token)
    readings.go_on(tokens[2])
    with pytest.raises(CommandError):
        readings.go_on(tokens[2])
    server.clock.advance(601)
    readings.put_by(iter(()))
    with pytest.raises(CommandError):
        readings.go_on(tokens[9])


def test_a_host_with_many_accounts_is_listed_page_by_page(capulet, shell, tmp_path, monkeypatch):
    monkeypatch.setattr("stonechat_migrate.ANSWER_NAMES", 2)
    for name in ("juliet", "nurse", "peter", "romeo", "tybalt"):
        capulet.create_account(name, "secret")
    assert export(shell, tmp_path / "out.xml")["accounts"] == 5
    assert [name for name, _ in shell.calls].count("migrate-accounts") == 3


def test_long_privacy_lists_come_one_by_one(capulet, shell, write):
    items = "".join(
        f"<item type='jid' value='{n}.{'x' * 60}.example' action='deny' order='{n}'/>"
        for n in range(1000)
    )
    lists = "".join(f"<list name='{name}'>{items}</list>" for name in "abcd")
    inside = f"<query xmlns='jabber:iq:privacy'><default name='d'/>{lists}</query>"
    status, report = import_(shell, write("main.xml", server_data(USER.format("juliet", inside))))
    assert (status, report["kept"]) == (0, [{"data": "query jabber:iq:privacy", "number": 4}])
    assert capulet.plugin("privacy").store.of("juliet").default == "d"


def test_what_is_too_large_for_a_request_is_lost_and_the_rest_is_kept(capulet, shell, write):
    large = VCARD.replace("Juliet", "J" * 400_000)
    private = "<query xmlns='jabber:iq:private'><x xmlns='urn:example:x'>1</x></query>"
    text = server_data(USER.format("juliet", large + private))
    status, report = import_(shell, write("main.xml", text))
    assert (status, lost(report)) == (4, {"<vCard/> of more than 300000 octets": 1})
    assert report["kept"] == [{"data": "query jabber:iq:private", "number": 1}]


def test_files_are_for_nobody_else_and_nothing_is_overwritten(capulet, shell, tmp_path):
    capulet.create_account("juliet", "secret")
    path = tmp_path / "out.xml"
    export(shell, path, passwords=False)
    assert path.stat().st_mode & 0o077 == 0
    assert "secret" not in path.read_text()
    assert path.read_text().count("<scram-credentials") == 3
    with pytest.raises(ShellError, match="already"):
        export(shell, path)
    with pytest.raises(ShellError):
        export(shell, tmp_path, split=True)
    with pytest.raises(ShellError, match="no account"):
        export(shell, tmp_path / "other.xml", user=f"romeo@{CAPULET}")
    assert not (tmp_path / "other.xml").exists()
    with pytest.raises(ShellError):
        export(shell, tmp_path / "no" / "where.xml")


def test_commands_are_for_the_machine_alone(capulet):
    capulet.server.configure(access={"admin": {"any": True}})
    offered = {command.name for command in capulet.kernel.commands(None)}
    assert not {name for name in offered if name.startswith("migrate-")}
