"""slixmpp administers a server that is a process of its own, as people's clients do."""

import pytest

from stonechat.errors import StanzaError
from stonechat.testing import until

HOST, OTHER = "capulet.example", "montague.example"
NURSE, FRIAR, JULIET = (f"{name}@{HOST}" for name in ("nurse", "friar", "juliet"))
PARIS, ROMEO = f"paris@{HOST}", f"romeo@{OTHER}"
ADMIN = "http://jabber.org/protocol/admin"


class Person:
    """A client that gives commands by slixmpp's own plugin."""

    def __init__(self, client):
        self.client = client

    def names(self, to=HOST):
        """The nodes of the commands that are offered."""
        items = self.client.call("xep_0050", "get_commands", to)
        return {node for _, node, _ in items["disco_items"]["items"]}

    def begin(self, node, to=HOST, **more):
        return self.client.call("xep_0050", "send_command", to, node, **more)["command"]

    def command(self, node, to=HOST, **fields):
        """Fill the form of a command in; the `<command/>` that it ends with."""
        first = self.begin(node, to)
        form = self.client.call("xep_0004", "make_form", ftype="submit")
        if "FORM_TYPE" in first["form"]["values"]:
            form.add_field(
                var="FORM_TYPE", ftype="hidden", value=first["form"]["values"]["FORM_TYPE"]
            )
        for var, value in fields.items():
            form.add_field(var=var.replace("_verify", "-verify"), value=value)
        session = first["sessionid"]
        return self.begin(node, to, action="complete", sessionid=session, payload=form)

    def refused(self, node, to=HOST, **fields):
        with pytest.raises(StanzaError) as caught:
            self.command(node, to, **fields) if fields else self.begin(node, to)
        return caught.value.condition

    def is_shown_out(self):
        self.client.wait_event("disconnected")


@pytest.fixture
def process(stonechat_process):
    """The nurse may do all on Capulet's host; the friar there and on the node."""
    process = stonechat_process(
        {
            "hosts": {HOST: {"access": {"admin": {"users": [NURSE, FRIAR]}}}, OTHER: {}},
            "plugins": {
                "adhoc": {},
                "announce": {},
                "disco": {},
                "offline": {},
                "ping": {},
                "roster": {},
            },
            "access": {"admin": {"users": [FRIAR]}},
        }
    )
    process.register(NURSE, FRIAR, JULIET, ROMEO)
    return process


@pytest.fixture
def login(process, slixmpp):
    return lambda jid: Person(slixmpp.available(process, jid, "xep_0050"))


def test_slixmpp_administers_a_host(process, login):
    nurse = login(f"{NURSE}/house")
    juliet = login(f"{JULIET}/balcony")
    wanted = {f"{ADMIN}#add-user", f"{ADMIN}#announce", "stonechat:kick"}
    assert wanted <= nurse.names()
    assert wanted <= nurse.names(NURSE)

    new = {"accountjid": PARIS, "password": "County", "password_verify": "County"}
    assert nurse.command(f"{ADMIN}#add-user", **new)["status"] == "completed"
    assert nurse.refused(f"{ADMIN}#add-user", **new) == "conflict"
    number = nurse.begin(f"{ADMIN}#get-registered-users-num", NURSE)
    assert number["form"]["values"]["registeredusersnum"] == "4"
    online = nurse.command(f"{ADMIN}#get-online-users-list", max_items="25")
    assert set(online["form"]["values"]["onlineuserjids"]) == {JULIET, NURSE}

    nurse.command(f"{ADMIN}#announce", announcement="The feast begins")
    message = juliet.client.message()
    assert (message["body"], message["from"]) == ("The feast begins", HOST)

    nurse.command("stonechat:roster-add", account=JULIET, contact=NURSE)
    roster = nurse.command(f"{ADMIN}#get-user-roster", NURSE, accountjids=[JULIET])
    assert NURSE in str(roster)
    nurse.command(f"{ADMIN}#end-user-session", accountjids=[JULIET])
    juliet.is_shown_out()
    nurse.command(f"{ADMIN}#delete-user", accountjids=[PARIS])

    assert "paris" not in process.run("registered-users", HOST)
    assert f"{NURSE}/house" in process.log
    assert "County" not in process.log


def test_slixmpp_cannot_do_what_it_must_not(process, login):
    nurse = login(f"{NURSE}/house")
    juliet = login(f"{JULIET}/balcony")
    assert juliet.names() == juliet.names(JULIET) == set()
    for node in ("stonechat:kick", f"{ADMIN}#delete-user", "stonechat:stop"):
        assert juliet.refused(node) == "forbidden"
        assert juliet.refused(node, NURSE) == "service-unavailable"
    delete = f"{ADMIN}#delete-user"
    assert nurse.refused(delete, accountjids=[ROMEO]) == "forbidden"
    assert nurse.refused(delete, OTHER) == "forbidden"
    for node in ("stonechat:stop", f"{ADMIN}#shutdown", "stonechat:plugin-enable"):
        assert nurse.refused(node) == "forbidden"
    assert process.is_running
    assert "romeo" in process.run("registered-users", OTHER)


def test_slixmpp_gives_a_command_up(login):
    nurse = login(f"{NURSE}/house")
    first = nurse.begin("stonechat:kick")
    assert (first["status"], first["actions"]) == ("executing", {"complete"})
    going_on = {"action": "cancel", "sessionid": first["sessionid"]}
    assert nurse.begin("stonechat:kick", **going_on)["status"] == "canceled"
    with pytest.raises(StanzaError) as over:
        nurse.begin("stonechat:kick", **going_on)
    assert over.value.condition == "not-allowed"


def test_slixmpp_restarts_the_server_and_shuts_it_down(process, login):
    friar = login(f"{FRIAR}/cell")
    pid = process.pid
    assert friar.command("stonechat:restart", delay="0")["status"] == "completed"
    friar.is_shown_out()
    until(lambda: process.output.count("ready\n") == 2, "second start")
    assert process.pid == pid
    again = login(f"{FRIAR}/chapel")
    assert again.command(f"{ADMIN}#shutdown", delay="0")["status"] == "completed"
    again.is_shown_out()
    assert process.wait() == 0
