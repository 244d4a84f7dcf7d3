"""slixmpp and shared groups, on a server that is a process of its own."""

import asyncio

import pytest
from slixmpp import ClientXMPP

from stonechat.testing.process import LOCALHOST

DEADLINE = 30
HOST = "capulet.example"
JULIET, NURSE, ROMEO = (f"{name}@{HOST}" for name in ("juliet", "nurse", "romeo"))


class Person(ClientXMPP):
    """A client that keeps what comes until somebody asks for it."""

    def __init__(self, jid):
        super().__init__(jid, "Wherefore art thou?")
        self.enable_starttls = self.enable_direct_tls = False
        self.enable_plaintext = True
        self.auto_authorize = self.auto_subscribe = None
        for plugin in ("xep_0030", "xep_0050", "xep_0199"):
            self.register_plugin(plugin)
        # The connection is one within the machine.
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.came = asyncio.Queue()
        self.ready = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.ready.set())
        self.add_event_handler("roster_update", self.came.put_nowait)
        self.add_event_handler("presence_available", self.came.put_nowait)
        self.add_event_handler("presence_unavailable", self.came.put_nowait)

    async def take(self, fits):
        """The next stanza that fits; what does not is dropped."""
        while True:
            stanza = await asyncio.wait_for(self.came.get(), DEADLINE)
            if fits(stanza):
                return stanza

    async def presence(self, type_, jid):
        return await self.take(
            lambda stanza: (
                stanza.name == "presence"
                and stanza["type"] == type_
                and str(stanza["from"].bare) == jid
            )
        )

    async def push(self, jid, **wanted):
        """What a push says of a contact, the next one that says what is wanted."""

        def fits(stanza):
            if stanza.name != "iq" or stanza["type"] != "set":
                return False
            item = stanza["roster"]["items"].get(jid)
            return item is not None and wanted.items() <= item.items()

        return (await self.take(fits))["roster"]["items"][jid]


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {HOST: {}},
            "access": {"admin": {"users": [NURSE]}},
            "plugins": {"roster": {}, "disco": {}, "ping": {}, "adhoc": {}, "shared_roster": {}},
            "auth_options": {"internal": {"iterations": 4096}},
        }
    )
    for jid in (JULIET, NURSE, ROMEO):
        register(process, jid)
    return process


def register(process, jid):
    made = process.command("register", jid, "--password-stdin", stdin="Wherefore art thou?\n")
    assert made.returncode == 0, made.stderr


def command(process, *words):
    done = process.command(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def in_a_thread(call, *arguments):
    return await asyncio.get_running_loop().run_in_executor(None, call, *arguments)


async def login(process, jid):
    person = Person(jid)
    person.connect(LOCALHOST, process.port)
    await asyncio.wait_for(person.ready.wait(), DEADLINE)
    await person.get_roster(timeout=DEADLINE)
    person.send_presence()
    await person.presence("available", str(person.boundjid.bare))
    return person


def entry(person, jid):
    item = person.client_roster[jid]
    return item["subscription"], item["name"], list(item["groups"])


async def a_group_lives(process):
    juliet = await login(process, f"{JULIET}/balcony")
    nurse = await login(process, f"{NURSE}/house")
    assert entry(juliet, NURSE) == ("both", "", ["House of Capulet"])
    await juliet.presence("available", NURSE)

    # Another comes: by a command from the shell, and as a new account with @all@.
    await in_a_thread(command, process, "shared-group-add", "capulets", ROMEO)
    pushed = await juliet.push(ROMEO)
    assert (pushed["subscription"], list(pushed["groups"])) == ("both", ["House of Capulet"])
    romeo = await login(process, f"{ROMEO}/orchard")
    await juliet.presence("available", ROMEO)
    await romeo.presence("available", JULIET)
    await in_a_thread(command, process, "shared-group-add", "capulets", "@all@")
    await in_a_thread(register, process, f"tybalt@{HOST}")
    assert (await juliet.push(f"tybalt@{HOST}"))["subscription"] == "both"

    # What a client calls somebody is its own; to remove it takes that away, and no more.
    juliet.update_roster(ROMEO, name="Husband", groups=["Lovers", "House of Capulet"])
    pushed = await juliet.push(ROMEO)
    assert (pushed["name"], sorted(pushed["groups"])) == (
        "Husband",
        ["House of Capulet", "Lovers"],
    )
    # slixmpp ends the subscriptions before, each by itself.
    juliet.del_roster_item(ROMEO)
    pushed = await juliet.push(ROMEO, name="")
    assert (pushed["subscription"], list(pushed["groups"])) == ("both", ["House of Capulet"])

    # The administrator ends it, from her client.
    commands = await nurse.plugin["xep_0050"].get_commands(jid=HOST, timeout=DEADLINE)
    nodes = [item[1] for item in commands["disco_items"]["items"]]
    (node,) = [node for node in nodes if node.endswith("shared-group-delete")]
    begun = await nurse.plugin["xep_0050"].send_command(HOST, node, timeout=DEADLINE)
    form = nurse.plugin["xep_0004"].make_form(ftype="submit")
    form.add_field("group", value="capulets")
    done = await nurse.plugin["xep_0050"].send_command(
        HOST,
        node,
        action="complete",
        payload=form,
        sessionid=begun["command"]["sessionid"],
        timeout=DEADLINE,
    )
    assert done["command"]["status"] == "completed"
    await juliet.push(ROMEO, subscription="remove")
    await romeo.presence("unavailable", JULIET)
    for person in (juliet, nurse, romeo):
        await person.disconnect()


def test_a_group_from_its_beginning_to_its_end(process):
    command(process, "shared-group-create", "capulets", "--label", "House of Capulet")
    for jid in (JULIET, NURSE):
        command(process, "shared-group-add", "capulets", jid)
    asyncio.run(a_group_lives(process))
    assert "capulets" not in command(process, "shared-group-list")


async def roster_of(process, jid):
    person = await login(process, jid)
    found = {contact: entry(person, contact) for contact in person.client_roster}
    version = person.client_roster.version
    await person.disconnect()
    found.pop(str(person.boundjid.bare), None)
    return found, version


def test_what_was_confirmed_outlives_a_kill_and_so_does_its_version(process):
    # Robustness promise R2.
    command(process, "shared-group-create", "verona", "--label", "Verona")
    command(process, "shared-group-add", "verona", "@all@")
    before = asyncio.run(roster_of(process, f"{JULIET}/balcony"))
    assert before[0] == {NURSE: ("both", "", ["Verona"]), ROMEO: ("both", "", ["Verona"])}
    assert before[1]
    process.kill()
    process.start()
    assert asyncio.run(roster_of(process, f"{JULIET}/balcony")) == before
