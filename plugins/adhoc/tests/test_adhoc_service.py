"""Service administration (XEP-0133): what goes wrong, or is kept, beside what was asked for."""

import pytest
from adhoc_kitchen import HOST, NURSE, do, filled, notes

from stonechat.commands import Text, command

ADMIN = "http://jabber.org/protocol/admin"


@pytest.fixture
def host(server):
    server.configure(access={"admin": {"users": [NURSE]}})
    return server.host(HOST, adhoc={}, announce={})


@pytest.fixture
def nurse(host):
    return host.connect(f"{NURSE}/house")


def submit(client, part, **fields):
    node = f"{ADMIN}#{part}"
    session = do(client, node).get("sessionid")
    return do(client, node, session=session, form=filled(ADMIN, **fields))


def test_who_edits_the_message_of_the_day_keeps_its_subject(server, nurse):
    server.command("motd-set", motd="A feest", subject="Tonight")
    submit(nurse, "edit-motd", motd="A feast")
    assert server.command("motd-show") == {"motd": "A feast", "subject": "Tonight"}


def test_where_there_was_none_there_is_no_subject(server, nurse):
    submit(nurse, "edit-motd", motd="A feast")
    assert server.command("motd-show") == {"motd": "A feast", "subject": ""}


class Hoarse:
    """In the place of the plugin announce, but nobody hears it."""

    def __init__(self, host, options):
        pass

    @command("announce-online", "Announce something.")
    def announce(self, announcement: Text) -> str:
        raise RuntimeError("there is no voice left")


def test_an_announcement_that_fails_does_not_hide_that_the_server_stops(server):
    server.expect_errors()
    server.configure(access={"admin": {"users": [NURSE]}})
    host = server.host(HOST, adhoc={}, plugin_classes={"hoarse": Hoarse})
    nurse = host.connect(f"{NURSE}/house")
    answer = submit(nurse, "shutdown", delay="300", announcement="The end")
    assert answer.get("status") == "completed"
    stops, failed = notes(answer)
    assert stops == ("info", "The server stops in 300 seconds.")
    assert failed[0] == "error"
    assert failed[1].startswith("The announcement was not sent: ")
