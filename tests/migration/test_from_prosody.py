"""Accounts of a real Prosody move to ours, from its files and from its database."""

import json

import pytest
from elders import CAPULET, MONTAGUE, Prosody
from lives import JULIET, PASSWORDS, find_again, live

BLOCKING = "<block xmlns='urn:xmpp:blocking'><item jid='tybalt@capulet.example'/></block>"
PLUGINS = {
    name: {}
    for name in (
        "blocking",
        "disco",
        "mam",
        "migrate",
        "offline",
        "ping",
        "private",
        "roster",
        "vcard",
    )
}
NODE = {"hosts": {CAPULET: {}, MONTAGUE: {}}, "plugins": PLUGINS}


@pytest.fixture(scope="module", params=["internal", "sql"])
def source(request, tmp_path_factory, needs, loop):
    """What a Prosody has left behind."""
    needs(*Prosody.programs)
    prosody = Prosody(tmp_path_factory.mktemp("prosody"), request.param)
    prosody.start()
    try:
        for jid, password in PASSWORDS.items():
            prosody.register(*jid.split("@"), password)
        live(loop, prosody.port, blocking=BLOCKING)
    finally:
        prosody.stop()
    return prosody.source


def test_everybody_finds_everything_again(source, loop, stonechat_process, slixmpp):
    process = stonechat_process(NODE)
    process.stop()
    arguments = ("db", "import", "--from", "prosody", source, "--json")
    dry = process.command(*arguments, "--dry-run")
    assert dry.returncode == 4, dry.stderr
    report = json.loads(dry.stdout)
    assert report["accounts_that_would_be_created"] == 4
    lost = {row["what"] for row in report["would_be_lost"]}
    assert lost
    assert all("<pubsub" in what for what in lost), lost
    wet = process.command(*arguments)
    assert json.loads(wet.stdout)["kept"] == report["would_be_kept"], wet.stdout + wet.stderr
    process.start()
    find_again(loop, process.port)
    benvolio = f"benvolio@{MONTAGUE}"
    slixmpp.login(process, benvolio, password=PASSWORDS[benvolio]).leave()
    # Into the server at work, and once more: nothing is new.
    if "://" in source:
        return
    again = json.loads(process.command(*arguments).stdout)
    assert (again["accounts_created"], again["accounts_known_before"]) == (0, 4)
    assert {row["data"] for row in again.get("kept", [])} <= {"offline-messages urn:xmpp:pie:0"}
    out = process.directory / "juliet.xml"
    process.run("db", "export", str(out), "--user", JULIET)
    assert "Wherefore art thou Romeo?" in out.read_text()
