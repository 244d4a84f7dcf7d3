"""Accounts of a real ejabberd move to ours, out of both shapes of its database."""

import json

import pytest
from elders import CAPULET, Ejabberd
from lives import NURSE, PASSWORDS, ROMEO, client, find_again, live

BLOCKING = "<block xmlns='urn:xmpp:blocking'><item jid='tybalt@capulet.example'/></block>"
PLUGINS = {
    name: {}
    for name in (
        "blocking",
        "disco",
        "last",
        "mam",
        "migrate",
        "offline",
        "ping",
        "privacy",
        "private",
        "roster",
        "vcard",
    )
}


@pytest.fixture(scope="module", params=["new", "old"])
def elder(request, tmp_path_factory, needs, loop):
    """An ejabberd that people have lived on; it has stopped."""
    needs(*Ejabberd.programs)
    is_new = request.param == "new"
    elder = Ejabberd(tmp_path_factory.mktemp("ejabberd"), new_schema=is_new, plain=not is_new)
    elder.start()
    try:
        for jid, password in PASSWORDS.items():
            if jid.endswith(f"@{CAPULET}"):
                elder.register(*jid.split("@"), password)
        live(loop, elder.port, blocking=BLOCKING)
        elder.exported = elder.export()
    finally:
        elder.stop()
    return elder


def test_everybody_finds_everything_again(elder, loop, stonechat_process):
    process = stonechat_process({"hosts": {CAPULET: {}}, "plugins": PLUGINS})
    arguments = ("db", "import", "--from", "ejabberd", elder.source, "--host", CAPULET, "--json")
    # One by what it writes itself, which has no archive in it.
    process.run("db", "import", str(elder.exported), "--user", ROMEO)
    client(loop, process.port, ROMEO, "street", sasl_mech="SCRAM-SHA-256").leave()
    done = process.command(*arguments)
    assert done.returncode == 4, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert (report["accounts_created"], report["accounts_known_before"]) == (2, 1), report
    assert all("<pubsub" in row["what"] for row in report["lost"]), report["lost"]
    find_again(loop, process.port, "SCRAM-SHA-256")
    again = json.loads(process.command(*arguments).stdout)
    assert again["accounts_known_before"] == 3
    process.run("migrate-export", NURSE)
