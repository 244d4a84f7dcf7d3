"""slixmpp administers a server that is a process of its own, as people's clients do."""

import asyncio

import pytest
from slixmpp import ClientXMPP
from slixmpp.exceptions import IqError

from stonechat.testing.process import LOCALHOST

DEADLINE = 30
PASSWORD = "Wherefore art thou?"
HOST, OTHER = "capulet.example", "montague.example"
NURSE, FRIAR, JULIET = (f"{name}@{HOST}" for name in ("nurse", "friar", "juliet"))
PARIS, ROMEO = f"paris@{HOST}", f"romeo@{OTHER}"
ADMIN = "http://jabber.org/protocol/admin"


class Person(ClientXMPP):
    """A client that gives commands by slixmpp's own plugin."""

    def __init__(self, jid):
        super().__init__(jid, PASSWORD)
        self.enable_starttls = self.enable_direct_tls = False
        self.enable_plaintext = True
        for plugin in ("xep_0004", "xep_0030", "xep_0050", "xep_0199"):
            self.register_plugin(plugin)
        # The connection is one within the machine.
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.messages = asyncio.Queue()
        self.ready = asyncio.Event()
        self.gone = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.ready.set())
        self.add_event_handler("disconnected", lambda _: self.gone.set())
        self.add_event_handler("message", self.messages.put_nowait)

    async def names(self, to=HOST):
        """The nodes of the commands that are offered."""
        items = await self.plugin["xep_0050"].get_commands(to, timeout=DEADLINE)
        return {node for _, node, _ in items["disco_items"]["items"]}

    async def begin(self, node, to=HOST, **more):
        answer = await self.plugin["xep_0050"].send_command(to, node, timeout=DEADLINE, **more)
        return answer["command"]

    async def command(self, node, to=HOST, **fields):
        """Fill the form of a command in; the `<command/>` that it ends with."""
        first = await self.begin(node, to)
        form = self.plugin["xep_0004"].make_form(ftype="submit")
        if "FORM_TYPE" in first["form"]["values"]:
            form.add_field(
                var="FORM_TYPE", ftype="hidden", value=first["form"]["values"]["FORM_TYPE"]
            )
        for var, value in fields.items():
            form.add_field(var=var.replace("_verify", "-verify"), value=value)
        session = first["sessionid"]
        return await self.begin(node, to, action="complete", sessionid=session, payload=form)

    async def refused(self, node, to=HOST, **fields):
        with pytest.raises(IqError) as caught:
            await (self.command(node, to, **fields) if fields else self.begin(node, to))
        return caught.value.condition


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
            "auth_options": {"internal": {"iterations": 4096}},
            "access": {"admin": {"users": [FRIAR]}},
        }
    )
    for jid in (NURSE, FRIAR, JULIET, ROMEO):
        made = process.command("register", jid, "--password-stdin", stdin=f"{PASSWORD}\n")
        assert made.returncode == 0, made.stderr
    return process


async def login(process, jid):
    person = Person(jid)
    person.connect(LOCALHOST, process.port)
    await asyncio.wait_for(person.ready.wait(), DEADLINE)
    person.send_presence()
    await person.plugin["xep_0199"].send_ping(HOST, timeout=DEADLINE)
    return person


def play(scene, process):
    asyncio.run(asyncio.wait_for(scene(process), 4 * DEADLINE))


async def administration(process):
    nurse = await login(process, f"{NURSE}/house")
    juliet = await login(process, f"{JULIET}/balcony")
    wanted = {f"{ADMIN}#add-user", f"{ADMIN}#announce", "stonechat:kick"}
    assert wanted <= await nurse.names()
    assert wanted <= await nurse.names(NURSE)

    new = {"accountjid": PARIS, "password": "County", "password_verify": "County"}
    assert (await nurse.command(f"{ADMIN}#add-user", **new))["status"] == "completed"
    assert await nurse.refused(f"{ADMIN}#add-user", **new) == "conflict"
    number = await nurse.begin(f"{ADMIN}#get-registered-users-num", NURSE)
    assert number["form"]["values"]["registeredusersnum"] == "4"
    online = await nurse.command(f"{ADMIN}#get-online-users-list", max_items="25")
    assert set(online["form"]["values"]["onlineuserjids"]) == {JULIET, NURSE}

    await nurse.command(f"{ADMIN}#announce", announcement="The feast begins")
    message = await asyncio.wait_for(juliet.messages.get(), DEADLINE)
    assert (message["body"], message["from"]) == ("The feast begins", HOST)

    await nurse.command("stonechat:roster-add", account=JULIET, contact=NURSE)
    roster = await nurse.command(f"{ADMIN}#get-user-roster", NURSE, accountjids=[JULIET])
    assert NURSE in str(roster)
    await nurse.command(f"{ADMIN}#end-user-session", accountjids=[JULIET])
    await asyncio.wait_for(juliet.gone.wait(), DEADLINE)
    await nurse.command(f"{ADMIN}#delete-user", accountjids=[PARIS])
    await nurse.disconnect()


def test_slixmpp_administers_a_host(process):
    play(administration, process)
    assert "paris" not in process.command("registered-users", HOST).stdout
    assert f"{NURSE}/house" in process.log
    assert "County" not in process.log


async def trespass(process):
    nurse = await login(process, f"{NURSE}/house")
    juliet = await login(process, f"{JULIET}/balcony")
    assert await juliet.names() == await juliet.names(JULIET) == set()
    for node in ("stonechat:kick", f"{ADMIN}#delete-user", "stonechat:stop"):
        assert await juliet.refused(node) == "forbidden"
        assert await juliet.refused(node, NURSE) == "service-unavailable"
    delete = f"{ADMIN}#delete-user"
    assert await nurse.refused(delete, accountjids=[ROMEO]) == "forbidden"
    assert await nurse.refused(delete, OTHER) == "forbidden"
    for node in ("stonechat:stop", f"{ADMIN}#shutdown", "stonechat:plugin-enable"):
        assert await nurse.refused(node) == "forbidden"
    await juliet.disconnect()
    await nurse.disconnect()


def test_slixmpp_cannot_do_what_it_must_not(process):
    play(trespass, process)
    assert process.is_running
    assert "romeo" in process.command("registered-users", OTHER).stdout


async def dialogue(process):
    nurse = await login(process, f"{NURSE}/house")
    first = await nurse.begin("stonechat:kick")
    assert (first["status"], first["actions"]) == ("executing", {"complete"})
    going_on = {"action": "cancel", "sessionid": first["sessionid"]}
    assert (await nurse.begin("stonechat:kick", **going_on))["status"] == "canceled"
    with pytest.raises(IqError) as over:
        await nurse.begin("stonechat:kick", **going_on)
    assert over.value.condition == "not-allowed"
    await nurse.disconnect()


def test_slixmpp_gives_a_command_up(process):
    play(dialogue, process)


async def restart(process):
    friar = await login(process, f"{FRIAR}/cell")
    pid = process.pid
    answer = await friar.command("stonechat:restart", delay="0")
    assert answer["status"] == "completed"
    await asyncio.wait_for(friar.gone.wait(), DEADLINE)
    async with asyncio.timeout(DEADLINE):
        while process.output.count("ready\n") < 2:
            await asyncio.sleep(0.02)
    assert process.pid == pid
    again = await login(process, f"{FRIAR}/chapel")
    answer = await again.command(f"{ADMIN}#shutdown", delay="0")
    assert answer["status"] == "completed"
    await asyncio.wait_for(again.gone.wait(), DEADLINE)


def test_slixmpp_restarts_the_server_and_shuts_it_down(process):
    play(restart, process)
    assert process.wait() == 0
