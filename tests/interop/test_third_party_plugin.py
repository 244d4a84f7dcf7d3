"""A stranger's plugin: written, installed, used, upgraded and taken away while the server runs."""

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from witnesses import DEADLINE
from witnesses.cast import PASSWORD, Cast
from witnesses.node import CAPULET, MONTAGUE, Node
from witnesses.own_client import secured
from witnesses.pipes import open_socket

from stonechat.errors import StanzaError

JULIET = "juliet@capulet.example"
NS_TAVERN = "urn:example:tavern:0"

# Building a distribution takes its time on a busy machine.
PIP_SECONDS = 120

# A second version, which takes all that a plugin can take.
SECOND = '''

from stonechat.commands import command
from stonechat.jid import JID
from stonechat.plugin import HANDLED


class Plugin(Plugin):
    """Serves wine, too."""

    def start(self):
        self.guests = []
        self.host.register_route(f"tavern.{self.host.name}", self.serve)
        self.host.provide("tavern", self)
        self.host.call_every(0.01, self.tick)
        self.host.spawn(self.wait)
        self.host.add_iq_handler("local", "urn:example:tavern:bill", lambda iq: None)

    def serve(self, stanza):
        if isinstance(stanza, Iq):
            raise StanzaError("feature-not-implemented")
        if stanza.type != "error":
            self.host.route(stanza.copy_for(stanza.from_, from_=stanza.to))

    def tick(self):
        self.host.log.debug("a tick")

    def wait(self):
        import gevent

        while True:
            gevent.sleep(0.01)

    @hookimpl
    def stonechat_disco_items(self):
        return [(JID.parse(f"tavern.{self.host.name}"), "", "The tavern")]

    @hookimpl
    def stonechat_account_disco_features(self):
        return [NS_TAVERN]

    @hookimpl
    def stonechat_account_iq_handlers(self):
        return {("get", NS_TAVERN): self.greet}

    @hookimpl
    def stonechat_unauthenticated_iq_handlers(self):
        return {("get", NS_TAVERN): lambda stream, iq: Element(NS_TAVERN, "door")}

    @hookimpl
    def stonechat_stream_features(self):
        return [lambda stream: Element(NS_TAVERN, "open")]

    @hookimpl
    def stonechat_session_bound(self, session):
        self.guests.append(session.jid.text)

    @hookimpl
    def stonechat_message_from_user(self, session, message):
        return HANDLED if b"drunk" in message.to_bytes() else None

    @command("tavern-guests", "List who has come in.")
    def list_guests(self) -> list:
        return self.guests
'''

BROKEN = '''

class Plugin(Plugin):
    """Takes, and then does not start."""

    def start(self):
        self.host.register_route(f"tavern.{self.host.name}", lambda stanza: None)
        raise RuntimeError("there is no wine")
'''


@pytest.fixture
def site(tmp_path):
    """Where the server's Python looks for what is installed; nothing yet."""
    site = tmp_path / "site"
    site.mkdir()
    return site


@pytest.fixture
def cast(tmp_path, site, loop, monkeypatch):
    """People on a server of this test's own."""
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    node = Node(tmp_path)
    node.process.start()
    cast = Cast(node, loop)
    yield cast
    cast.close()
    node.process.kill()


def write(tmp_path, more=""):
    """A distribution made by `stonechat plugin new`, with more code at its end."""
    directory = tmp_path / "stonechat-tavern"
    if not directory.exists():
        new = ("plugin", "new", "tavern", "--directory", str(directory))
        subprocess.run(
            [sys.executable, "-m", "stonechat.cli", *new],
            check=True,
            capture_output=True,
            timeout=DEADLINE,
        )
    else:
        metadata = directory / "setup.cfg"
        metadata.write_text(metadata.read_text().replace("version = 0.1.0", "version = 0.2.0"))
    source = directory / "src" / "stonechat_tavern" / "__init__.py"
    source.write_text(source.read_text() + more)
    return directory


def install(directory, site):
    """Install it where the server looks, without network."""
    options = ("--no-build-isolation", "--no-deps", "--no-index", "--quiet", "--upgrade")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(site), str(directory)],
        check=True,
        capture_output=True,
        timeout=PIP_SECONDS,
    )


def greet(person, to=CAPULET):
    return person.request("get", ET.Element(f"{{{NS_TAVERN}}}greeting"), to).xml[0].text


def plugin_list(node, name="tavern"):
    """The state of a plugin by host."""
    return {
        row["host"]: (row["state"], row["version"])
        for row in node.ask("plugin-list")
        if row["plugin"] == name
    }


def stream_features(node):
    """What a stream offers before and after the login."""
    client = secured(open_socket(node.starttls), CAPULET, node.authority.file)
    before = ET.tostring(client.features)
    client.log_in_at_once("PLAIN", f"\0juliet\0{PASSWORD}")
    after = ET.tostring(client.features)
    client.pipe.close()
    return before, after


def condition(person, to, namespace=NS_TAVERN):
    """How a request for a namespace is refused; "" if it is not."""
    try:
        person.request("get", ET.Element(f"{{{namespace}}}greeting"), to)
    except StanzaError as error:
        return error.condition
    return ""


def traces(node, person):
    """All by which a plugin can be noticed from outside."""
    items = person.call("xep_0030", "get_items", jid=CAPULET)
    return {
        "features": [person.features(jid) for jid in (CAPULET, person.bare)],
        "items": items["disco_items"]["items"],
        "stream features": stream_features(node),
        "refusals": [
            condition(person, to) for to in (CAPULET, person.bare, f"tavern.{CAPULET}", MONTAGUE)
        ],
        "bill": condition(person, CAPULET, "urn:example:tavern:bill"),
        "commands": [command["name"] for command in node.describe()],
        "hooks": sorted(
            (row["plugin"], row["hook"], row["host"])
            for row in node.ask("plugin-top", limit=100_000)
        ),
        "plugins": [
            (host["plugins"], host["quarantined"]) for host in node.ask("status")["hosts"]
        ],
        "metrics": re.findall(r'plugin="tavern".*', node.ask("metrics")),
    }


def test_a_plugin_from_the_template_goes_through_its_whole_life(cast, site, tmp_path):
    node = cast.node
    juliet, romeo = cast.login(f"{JULIET}/balcony"), cast.login("romeo@montague.example/orchard")
    juliet.available()
    before = traces(node, juliet)
    assert plugin_list(node) == {}

    # Installed, it is known, and nothing more.
    install(write(tmp_path), site)
    assert set(plugin_list(node).values()) == {("off", "0.1.0")}
    assert traces(node, juliet) == before

    # Enabled on one host, it answers there.
    said = node.process.run("plugin", "enable", "tavern", CAPULET, '{"greeting": "Salve"}')
    assert CAPULET in said
    assert plugin_list(node)[CAPULET] == ("running", "0.1.0")
    assert plugin_list(node)[MONTAGUE] == ("off", "0.1.0")
    assert greet(juliet) == "Salve, juliet!"
    with pytest.raises(StanzaError) as refusal:
        greet(romeo)
    assert refusal.value.condition == "forbidden"
    assert condition(juliet, MONTAGUE) == "service-unavailable"
    assert NS_TAVERN in traces(node, juliet)["features"][0]

    # A new version is taken in without a restart, and keeps its options.
    install(write(tmp_path, SECOND), site)
    node.process.run("plugin", "reload", "tavern", CAPULET)
    assert plugin_list(node)[CAPULET] == ("running", "0.2.0")
    assert greet(juliet) == greet(juliet, JULIET) == "Salve, juliet!"
    juliet.say(f"vintner@tavern.{CAPULET}", "A cup of sack!")
    assert juliet.message()["from"] == f"vintner@tavern.{CAPULET}"
    juliet.say(JULIET, "I am drunk")
    juliet.say(JULIET, "I am sober")
    assert juliet.message()["body"] == "I am sober"
    assert traces(node, juliet) != before
    assert f"{JULIET}/chamber" not in node.process.run("tavern-guests")
    chamber = cast.login(f"{JULIET}/chamber")
    assert f"{JULIET}/chamber" in node.process.run("tavern-guests")
    chamber.leave()

    # Disabled, it is as if it had never been there, and nobody's session has suffered.
    node.process.run("plugin", "disable", "tavern")
    assert traces(node, juliet) == before
    assert set(plugin_list(node).values()) == {("off", "0.2.0")}
    juliet.say(JULIET, "I am drunk")
    assert juliet.message()["body"] == "I am drunk"
    assert node.process.command("tavern-guests").returncode == 2

    # What was on can be on again.
    node.process.run("plugin", "enable", "tavern", CAPULET)
    assert greet(juliet) == "Hello, juliet!"
    node.process.run("plugin", "disable", "tavern", CAPULET)
    assert traces(node, juliet) == before

    # Uninstalled, it is unknown.
    for path in site.iterdir():
        shutil.rmtree(path)
    assert plugin_list(node) == {}
    unknown = node.process.command("plugin", "enable", "tavern", CAPULET)
    assert unknown.returncode
    assert "there is no plugin of this name" in unknown.stderr
    assert node.new_faults() == []


def test_a_plugin_that_does_not_start_leaves_nothing_behind(cast, site, tmp_path):
    node = cast.node
    juliet = cast.login(f"{JULIET}/balcony")
    before = traces(node, juliet)
    install(write(tmp_path, BROKEN), site)
    refusal = node.process.command("plugin", "enable", "tavern", CAPULET)
    assert refusal.returncode == 1
    assert "tavern does not start: there is no wine" in refusal.stderr
    assert plugin_list(node)[CAPULET] == ("quarantined", "0.1.0")
    (fault,) = node.new_faults()
    assert fault["plugin"] == "tavern"
    node.process.run("plugin", "disable", "tavern", CAPULET)
    assert traces(node, juliet) == before


def test_a_plugin_in_the_configuration_comes_with_a_reload(cast, site, tmp_path):
    node = cast.node
    juliet = cast.login(f"{JULIET}/balcony")
    before = traces(node, juliet)
    install(write(tmp_path), site)
    node.configure(tavern={"greeting": "God ye good morrow"})
    assert "plugin tavern is switched on" in node.process.run("reload")
    assert greet(juliet) == "God ye good morrow, juliet!"
    node.configure()
    assert "plugin tavern is switched off" in node.process.run("reload")
    assert traces(node, juliet) == before
