"""Two servers of ours over real sockets, with real TLS; only DNS is imagined."""

import gevent
import pytest

from stonechat.core import plugin_loader
from stonechat.core.config import load_configuration_text
from stonechat.core.reload import reload
from stonechat.core.server import Server
from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.net.certificates import write_self_signed
from stonechat.net.resolver import Target
from stonechat.stanza import Iq, Message
from stonechat.testing import until
from stonechat.xml import Element

DEADLINE = 10
LOCALHOST = "127.0.0.1"


class Node:
    """A server of one domain; whom it speaks to stands in `where`."""

    def __init__(self, directory, domain, where, *, federation="", tls="off"):
        self.domain = domain
        self.file = directory / f"{domain}.yml"
        self.directory = directory
        self.tls = tls
        self.write(federation)
        configuration = load_configuration_text(
            self.file.read_text(), str(self.file), plugin_loader.options_of
        )
        self.server = Server(configuration)
        self.server.start()
        self.s2s = self.server.s2s
        self.s2s.ways.targets = lambda domain: [where[domain]]
        where[domain] = Target(LOCALHOST, self.server.ports[0].port, tls == "direct")
        self.host = self.server.hosts[domain]

    def write(self, federation):
        authorities = self.directory / "authorities.pem"
        files = self.directory / self.domain
        certificate = f"{{chain: {files}.pem, key: {files}.key}}"
        self.file.write_text(
            f"data_dir: {files}\n"
            f"hosts: {{{self.domain}: {{certificate: {certificate}}}}}\n"
            f"listen: [{{type: s2s, port: 0, address: {LOCALHOST}, tls: {self.tls}}}]\n"
            "durability: memory\n"
            "watchdog: {block_warning: 5 s}\n"
            f"federation: {{ca_file: {authorities}, timeout: 8 s, {federation}}}\n"
        )

    def ask(self, domain):
        """The condition of the error that a host of another server answers with."""
        iq = Iq(
            Element("urn:example:question", "question"),
            to=JID.parse(domain),
            from_=JID.parse(self.domain),
            type="get",
        )
        try:
            self.host.ask(iq, DEADLINE)
        except StanzaError as error:
            return error.condition
        return "a result"


@pytest.fixture
def directory(tmp_path):
    pem = []
    for domain in ("capulet.example", "montague.example", "verona.example"):
        write_self_signed([domain], tmp_path / f"{domain}.pem", tmp_path / f"{domain}.key")
        pem.append((tmp_path / f"{domain}.pem").read_text())
    # Verona has a certificate that nobody vouches for.
    (tmp_path / "authorities.pem").write_text("".join(pem[:2]))
    return tmp_path


@pytest.fixture
def make(directory):
    nodes, where = [], {}

    def make(domain, **options):
        nodes.append(Node(directory, domain, where, **options))
        return nodes[-1]

    yield make
    for node in nodes:
        node.server.stop(1)


@pytest.mark.parametrize("tls", ["off", "direct"])
def test_two_servers_ask_and_answer_each_other(make, tls):
    capulet, montague = (make(f"{name}.example", tls=tls) for name in ("capulet", "montague"))
    assert capulet.ask("montague.example") == "service-unavailable"
    assert montague.ask("capulet.example") == "service-unavailable"
    for node in (capulet, montague):
        assert node.s2s.figures[:3] == (1, 1, 0)
        for stream in (*node.s2s.incoming, *(link.stream for link in node.s2s.links.values())):
            assert stream.is_secure


def test_many_stanzas_arrive_in_order(make):
    capulet, montague = make("capulet.example"), make("montague.example")
    came = []
    montague.server.router.remove_route("montague.example")
    montague.server.router.add_route(
        "montague.example", came.append, "host montague.example", montague.host
    )
    romeo, juliet = JID.parse("romeo@montague.example"), JID.parse("juliet@capulet.example")
    for number in range(900):
        capulet.server.router.route(Message(to=romeo, from_=juliet, id=str(number)))
    until(lambda: len(came) == 900, "all of them")
    assert [stanza.id for stanza in came] == [str(number) for number in range(900)]


def test_a_server_whose_certificate_nobody_vouches_for_is_not_spoken_to(make):
    capulet, verona = make("capulet.example"), make("verona.example")
    assert capulet.ask("verona.example") == "remote-server-timeout"
    assert verona.ask("capulet.example") == "remote-server-timeout"


def test_what_a_server_that_stops_has_to_say_is_said(make):
    capulet, montague = make("capulet.example"), make("montague.example")
    came = []
    montague.server.router.remove_route("montague.example")
    montague.server.router.add_route(
        "montague.example", came.append, "host montague.example", montague.host
    )
    romeo, juliet = JID.parse("romeo@montague.example"), JID.parse("juliet@capulet.example")
    capulet.server.router.route(Message(to=romeo, from_=juliet, id="farewell"))
    capulet.server.stop()
    assert [stanza.id for stanza in came] == ["farewell"]
    until(lambda: montague.s2s.figures.incoming == 0, "the end of the stream")


def test_a_reload_that_is_stricter_ends_streams(make):
    capulet, montague = make("capulet.example"), make("montague.example")
    assert capulet.ask("montague.example") == "service-unavailable"
    capulet.write("domains: {montague.example: {access: deny}}")
    changes = reload(capulet.server)
    assert any("domains {} -> {montague.example: {access: deny}}" in line for line in changes)
    until(lambda: montague.s2s.figures[:2] == (0, 0), "the end of the streams")
    assert capulet.ask("montague.example") == "not-allowed"
    assert montague.ask("capulet.example") == "remote-server-timeout"


def test_a_server_that_does_not_listen_is_told_of_in_time(make):
    capulet, montague = make("capulet.example"), make("montague.example")
    montague.server.stop(1)
    with gevent.Timeout(DEADLINE):
        assert capulet.ask("montague.example") == "remote-server-timeout"


def test_a_command_closes_streams_in_order(make):
    capulet = make("capulet.example")
    make("montague.example")
    assert capulet.ask("montague.example") == "service-unavailable"
    assert capulet.server.commands.run("s2s-close", {"domain": "montague.example"}) == 2
    until(lambda: capulet.s2s.figures[:2] == (0, 0), "the end of the streams")
    assert capulet.ask("montague.example") == "service-unavailable"
    [row, *_] = capulet.server.commands.run("s2s-list", {})
    assert (row["remote"], row["state"], row["secure"]) == ("montague.example", "open", True)
