"""slixmpp comes without an account to a server that is a process of its own."""

import json
import sqlite3
import uuid
from contextlib import closing
from xml.etree import ElementTree

import pytest

from stonechat.testing import LoginFailed, until

JULIET = "juliet@capulet.example"


@pytest.fixture
def start(stonechat_process):
    def start(auth=("internal", "anonymous"), **options):
        return stonechat_process(
            {
                "hosts": {"capulet.example": {}},
                "auth": list(auth),
                "auth_options": {"anonymous": options, "internal": {"iterations": 4096}}
                if "internal" in auth
                else {"anonymous": options},
                "plugins": {"roster": {}, "disco": {}, "private": {}},
            }
        )

    return start


def traces(process, name):
    """The tables of the server's database in which a name can be found."""
    (database,) = process.directory.glob("data/*.db")
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {
            table
            for (table,) in tables.fetchall()
            if name in str(connection.execute(f'SELECT * FROM "{table}"').fetchall())  # noqa: S608
        }


def test_slixmpp_talks_with_an_account_and_is_gone(start, slixmpp):
    process = start()
    process.register(JULIET)
    juliet = slixmpp.available(process, f"{JULIET}/balcony")
    masker = slixmpp.available(process, "capulet.example", password="", sasl_mech="ANONYMOUS")
    name = masker.bare.partition("@")[0]
    assert uuid.UUID(name).version == 4
    info = masker.call("xep_0030", "get_info", jid=masker.bare)["disco_info"]
    assert {identity[:2] for identity in info["identities"]} == {("account", "anonymous")}
    masker.say(JULIET, "If I profane with my unworthiest hand")
    assert juliet.message()["from"].bare == masker.bare
    assert traces(process, name)
    masker.leave()
    until(lambda: not traces(process, name), "end of the account")
    assert process.faults == []


def test_a_host_may_have_anonymous_users_only(start, slixmpp):
    process = start(auth=["anonymous"])
    masker = slixmpp.login(process, "capulet.example", password="")
    assert uuid.UUID(masker.bare.partition("@")[0])
    # Who believes to have an account here is told another name.
    assert slixmpp.login(process, f"{JULIET}/balcony").bare != JULIET


def test_a_reload_does_not_end_those_who_are_here(start, slixmpp):
    process = start()
    masker = slixmpp.login(process, "capulet.example", password="", sasl_mech="ANONYMOUS")
    name = masker.bare.partition("@")[0]
    configuration = json.loads(process.config_file.read_text())
    configuration["auth_options"]["anonymous"] = {"max_users": 7}
    process.configure(configuration)
    assert "anonymous" in process.run("reload")
    masker.sync()
    assert traces(process, name)
    masker.vanish()
    until(lambda: not traces(process, name), "end of the account")


def test_slixmpp_takes_a_name_that_is_free(start, slixmpp):
    process = start(protocol="login_anon")
    process.register(JULIET)
    masker = slixmpp.login(process, "masker@capulet.example/ball", password="whatever")
    assert masker.jid == "masker@capulet.example/ball"
    with pytest.raises(LoginFailed):
        slixmpp.login(process, f"{JULIET}/ball", password="whatever")
    assert slixmpp.login(process, f"{JULIET}/balcony").bare == JULIET


def test_a_killed_server_forgets_those_who_were_here(start, slixmpp):
    process = start()
    masker = slixmpp.login(process, "capulet.example", password="", sasl_mech="ANONYMOUS")
    name = masker.bare.partition("@")[0]
    query = ElementTree.Element("{jabber:iq:private}query")
    ElementTree.SubElement(query, "{urn:example:mask}mask").text = "red"
    masker.request("set", query)
    process.kill()
    assert traces(process, name) == {"auth_anonymous_accounts", "private_elements"}
    process.start()
    until(lambda: not traces(process, name), "end of the account")
