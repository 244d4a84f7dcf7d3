"""Reload: the new configuration comes into force as a whole, or nothing has happened.

Real sockets and a real file, for that is what a reload is about.
"""

import logging
import re
from base64 import b64encode

import gevent
import pytest
from gevent import socket, ssl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stonechat import hookimpl
from stonechat.core import log, plugin_loader
from stonechat.core.config import load_configuration
from stonechat.core.reload import NOTHING, preview, reload
from stonechat.core.server import Server
from stonechat.errors import ConfigError
from stonechat.host import Host
from stonechat.net.certificates import write_self_signed
from stonechat.options import PluginOptions, option
from stonechat.stanza import Element
from stonechat.testing import until

DEADLINE = 10

CONFIGURATION = """\
hosts:
  capulet.example: {}
  montague.example: {}
listen:
  - {type: c2s, port: 0, address: 127.0.0.1, starttls: "off"}
allow_plain_without_tls: true
durability: memory
auth_options: {internal: {iterations: 4096}}
watchdog: {block_warning: 5 s}
plugins:
  herald: {}
"""

HERALD = "urn:example:herald"


class HeraldOptions(PluginOptions):
    word: str = option("Hear", "What is proclaimed.")
    is_ill: bool = option(False, "Whether it cannot start.")


class Herald:
    """Answers with its word."""

    Options = HeraldOptions

    def __init__(self, host: Host, options: HeraldOptions) -> None:
        self.options = options

    def start(self) -> None:
        if self.options.is_ill:
            raise RuntimeError("too ill")

    @hookimpl
    def stonechat_iq_handlers(self):
        return {("get", HERALD): lambda iq: Element(HERALD, "word", None, self.options.word)}


class Page:
    """Serves the herald."""

    requires = ("herald",)

    def __init__(self, host: Host, options: PluginOptions) -> None:
        self.host = host


class Node:
    """A server and the file that it is configured by."""

    def __init__(self, directory) -> None:
        self.file = directory / "stonechat.yml"
        self.clients = []
        self.write(CONFIGURATION)
        self.server = Server(load_configuration(self.file, plugin_loader.options_of))
        self.server.start()
        for account in ("juliet@capulet.example", "romeo@montague.example"):
            self.server.commands.run("register", {"jid": account, "password": "wherefore"})

    def write(self, text: str) -> None:
        self.file.write_text(text)

    def change(self, *pairs: tuple[str, str], also: str = "") -> list[str]:
        """Write the first configuration with these changes, and reload."""
        text = CONFIGURATION
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        self.write(text + also)
        return reload(self.server)

    def host(self, name="capulet.example"):
        return self.server.hosts[name]

    def plugins(self, name="capulet.example"):
        return list(self.host(name).plugins.running)

    def connect(self, account="juliet@capulet.example", port=0):
        client = Client(port or self.server.ports[0].port, account)
        self.clients.append(client)
        return client

    def end(self) -> None:
        for client in self.clients:
            client.socket.close()
        self.server.stop(1)


class Client:
    """A client that has logged in."""

    def __init__(self, port: int, account: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        localpart, _, self.domain = account.partition("@")
        header = (
            f"<stream:stream to='{self.domain}' version='1.0' xmlns='jabber:client'"
            " xmlns:stream='http://etherx.jabber.org/streams'>"
        )
        self.exchange(header, "</stream:features>")
        word = b64encode(f"\0{localpart}\0wherefore".encode()).decode()
        self.exchange(
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{word}</auth>",
            "<success",
        )
        self.exchange(header, "</stream:features>")

    def bind(self) -> "Client":
        self.exchange(
            "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "</iq>"
        )
        return self

    def exchange(self, data: str, end: str) -> str:
        self.socket.sendall(data.encode())
        answer = ""
        while end not in answer:
            piece = self.socket.recv(65536).decode()
            assert piece, f"the stream ended after {answer!r}"
            answer += piece
        return answer

    def herald(self) -> str:
        """The herald's word, or the condition of the error."""
        answer = self.exchange(
            f"<iq type='get' id='h' to='{self.domain}'><word xmlns='{HERALD}'/></iq>", "</iq>"
        )
        found = re.search(r">([^<]+)</word>|<error[^>]*><([a-z-]+)", answer)
        return found[1] or found[2]

    def rest(self) -> str:
        """Everything until the server closes."""
        answer = b""
        while piece := self.socket.recv(65536):
            answer += piece
        return answer.decode()


@pytest.fixture
def node(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(plugin_loader.given, ("plugin", "herald"), Herald)
        patch.setitem(plugin_loader.given, ("plugin", "page"), Page)
        made = Node(tmp_path)
        yield made
        made.end()


def is_listened_on(port: int, address: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((address, port), DEADLINE).close()
    except ConnectionRefusedError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


# Sessions


def test_a_session_outlives_a_reload_and_sees_what_it_brought(node):
    juliet = node.connect().bind()
    assert juliet.herald() == "Hear"
    changes = node.change(("herald: {}", "herald: {word: Oyez}"))
    assert changes == ["every host: plugin herald: word Hear -> Oyez"]
    assert juliet.herald() == "Oyez"


def test_the_same_file_changes_nothing(node):
    before = node.server.configuration
    assert reload(node.server) == [NOTHING]
    assert node.server.configuration is before


def test_a_preview_changes_nothing(node):
    before = node.server.configuration
    node.write(CONFIGURATION.replace("herald: {}", "herald: {word: Oyez}"))
    assert preview(node.server) == ["every host: plugin herald: word Hear -> Oyez"]
    assert node.server.configuration is before
    assert node.connect().bind().herald() == "Hear"


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_breaks_the_file_the_old_configuration_stays_in_force(node, data):
    configuration, ports = node.server.configuration, list(node.server.ports)
    plugins = dict(node.host().plugins.running)
    place = data.draw(st.integers(0, len(CONFIGURATION)))
    size = data.draw(st.integers(0, 20))
    junk = data.draw(st.text("{}[]:,-&*!|>%@`\"'ab0 \n\t\0\u2028é", max_size=6))
    node.write(CONFIGURATION[:place] + junk + CONFIGURATION[place + size :])
    try:
        preview(node.server)
    except ConfigError:
        pass
    else:
        return  # still a right one
    with pytest.raises(ConfigError) as caught:
        reload(node.server)
    assert all(problem.startswith(str(node.file)) for problem in caught.value.problems)
    assert node.server.configuration is configuration
    assert node.server.ports == ports
    assert node.host().plugins.running == plugins


def test_a_reload_that_is_refused_drops_nobody(node):
    juliet = node.connect().bind()
    with pytest.raises(ConfigError) as caught:
        node.change(("herald: {}", "herald: {wort: Oyez}"))
    (problem,) = caught.value.problems
    assert problem == (
        f'{node.file}:11:12: plugins.herald.wort: is unknown here; did you mean "word"?'
    )
    assert juliet.herald() == "Hear"


# Plugins


def test_plugins_come_and_go_on_the_host_that_says_so(node):
    juliet, romeo = node.connect().bind(), node.connect("romeo@montague.example").bind()
    node.change(("montague.example: {}", "montague.example: {plugins: {herald: null, page: {}}}"))
    assert node.plugins("montague.example") == []
    assert "requires herald" in node.host("montague.example").plugins.quarantined["page"]
    assert romeo.herald() == "service-unavailable"
    assert juliet.herald() == "Hear"
    node.change(("montague.example: {}", "montague.example: {plugins: {page: {}}}"))
    assert node.plugins("montague.example") == ["herald", "page"]
    assert node.host("montague.example").plugins.quarantined == {}
    assert romeo.herald() == "Hear"


def test_what_requires_a_changed_plugin_is_started_anew_after_it(node):
    node.change(("herald: {}", "herald: {}\n  page: {}"))
    page = node.host().plugins.running["page"].instance
    node.change(("herald: {}", "herald: {word: Oyez}\n  page: {}"))
    assert node.plugins() == ["herald", "page"]
    assert node.host().plugins.running["page"].instance is not page


def test_a_plugin_that_does_not_start_is_told_and_quarantined(node):
    changes = node.change(("herald: {}", "herald: {is_ill: true}"))
    assert "capulet.example: plugin herald does not start: too ill" in changes
    assert node.host().plugins.quarantined == {"herald": "too ill"}
    assert node.connect().bind().herald() == "service-unavailable"


def test_a_required_plugin_that_does_not_start_undoes_the_reload(node):
    node.change(("herald: {}", "herald: {}\n  page: {}"))
    juliet = node.connect().bind()
    before, configuration = node.plugins(), node.server.configuration
    with pytest.raises(ConfigError, match="the required plugin herald does not start: too ill"):
        node.change(
            ("herald: {}", "herald: {is_ill: true, required: true}\n  page: {}"),
            ("montague.example: {}", "montague.example: {}\n  verona.example: {}"),
            also="limits: {max_hops: 10}\n",
        )
    assert node.server.configuration is configuration
    assert list(node.server.hosts) == ["capulet.example", "montague.example"]
    assert not node.server.router.owner("verona.example")
    for host in node.server.hosts.values():
        assert list(host.plugins.running) == before
        assert host.plugins.quarantined == {}
    assert juliet.herald() == "Hear"


def test_a_plugin_changed_by_hand_is_left_alone_until_the_file_says_otherwise(node):
    node.server.commands.run("plugin-disable", {"plugin": "herald", "host": "capulet.example"})
    node.change(also="limits: {max_hops: 10}\n")
    assert node.plugins() == []
    node.change(("herald: {}", "herald: {word: Oyez}"))
    assert node.plugins() == ["herald"]


# Hosts


def test_a_host_that_is_added_lets_its_users_in(node):
    node.change(("montague.example: {}", "montague.example: {}\n  verona.example: {}"))
    node.server.commands.run(
        "register", {"jid": "escalus@verona.example", "password": "wherefore"}
    )
    assert node.connect("escalus@verona.example").bind().herald() == "Hear"


def test_a_host_that_is_removed_ends_its_sessions_and_no_others(node):
    juliet, romeo = node.connect().bind(), node.connect("romeo@montague.example").bind()
    changes = node.change(("  montague.example: {}\n", ""))
    assert changes == ["host montague.example is removed, its sessions end"]
    assert "<host-gone" in romeo.rest()
    assert not node.server.router.owner("montague.example")
    assert juliet.herald() == "Hear"
    with pytest.raises(AssertionError, match="host-unknown"):
        node.connect("romeo@montague.example")


class Slow:
    """Is not through with what it is sent; hears of the end of sessions."""

    def __init__(self):
        self.gate = gevent.event.Event()
        self.told = []

    @hookimpl
    def stonechat_message_from_user(self, message):
        self.gate.wait()

    @hookimpl
    def stonechat_session_closed(self, session):
        self.told.append(session.jid.localpart)


def test_a_host_that_is_removed_does_not_wait_too_long_for_what_its_users_have_sent(node):
    slow = Slow()
    node.host("montague.example").hooks.add("slow", slow)
    romeo = node.connect("romeo@montague.example").bind()
    romeo.socket.sendall(b"<message to='romeo@montague.example'/>")
    (session,) = node.host("montague.example").session_manager
    until(lambda: session._wire._workers, "stanza at hand")
    session.close()
    until(lambda: session.is_ended, "end that waits")
    node.change(("  montague.example: {}\n", ""), also="limits: {shutdown_timeout: 200 ms}\n")
    assert slow.told == ["romeo"]
    slow.gate.set()


def test_who_logged_in_before_the_host_went_cannot_bind_after_it(node):
    romeo = node.connect("romeo@montague.example")
    node.change(("  montague.example: {}\n", ""))
    with pytest.raises(AssertionError, match="host-gone"):
        romeo.bind()


def test_the_first_host_of_the_file_is_the_first_one_at_work(node):
    node.change(("hosts:\n", "hosts:\n  verona.example: {}\n"))
    assert list(node.server.hosts) == [
        "verona.example",
        "capulet.example",
        "montague.example",
    ]


def test_access_language_and_accounts_of_a_host_change(node):
    juliet = node.connect().bind()
    accounts = node.host().accounts
    node.change(
        (
            "capulet.example: {}",
            """capulet.example: {
                language: it,
                access: {admin: {any: true}},
                auth_options: {internal: {iterations: 5000}}
            }""",
        )
    )
    host = node.host()
    assert host.language == "it"
    assert host.allows("admin", None, None)
    assert host.accounts is not accounts
    assert juliet.herald() == "Hear"
    assert node.connect().bind().herald() == "Hear"  # with the password of before


# Listeners

ANOTHER = "\n  - {type: c2s, port: %d, address: 127.0.0.1, starttls: 'off'}"


def with_listener(port: int) -> tuple[str, str]:
    return ('starttls: "off"}', 'starttls: "off"}' + ANOTHER % port)


def test_listeners_open_and_close_and_the_rest_is_untouched(node):
    (first,) = node.server.ports
    number = first.port
    port = free_port()
    node.change(with_listener(port))
    assert node.server.ports[0] is first
    juliet = node.connect(port=port).bind()
    node.change()
    assert node.server.ports == [first]
    assert first.port == number
    assert not is_listened_on(port)
    assert juliet.herald() == "Hear"  # who came in by it stays


def test_a_listener_on_its_port_gets_other_options(node):
    (port,) = node.server.ports
    number = port.port
    node.change(('starttls: "off"', "starttls: optional, idle_timeout: 5 min"))
    assert node.server.ports == [port]
    assert port.port == number
    assert port.options.starttls == "optional"
    node.change()
    assert port.options.starttls == "off"


def test_a_port_that_is_taken_undoes_the_reload(node):
    juliet = node.connect().bind()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="cannot listen on"):
            node.change(
                with_listener(taken.getsockname()[1]),
                ("herald: {}", "herald: {word: Oyez}"),
            )
    assert len(node.server.ports) == 1
    assert juliet.herald() == "Hear"


def test_a_listener_may_take_the_place_of_one_at_another_address(node):
    port = free_port()
    node.change(with_listener(port))
    name, line = with_listener(port)
    wide = line.replace(f"port: {port}, address: 127.0.0.1", f'port: {port}, address: "0.0.0.0"')
    node.change((name, wide))
    assert is_listened_on(port, "127.0.0.2")


def test_if_it_cannot_the_old_one_listens_again(node):
    port = free_port()
    node.change(with_listener(port))
    with socket.socket() as taken:
        taken.bind(("127.0.0.2", port))
        taken.listen()
        name, line = with_listener(port)
        wide = line.replace(
            f"port: {port}, address: 127.0.0.1", f'port: {port}, address: "0.0.0.0"'
        )
        with pytest.raises(ConfigError, match="cannot listen on"):
            node.change((name, wide))
    assert node.connect(port=port).bind().herald() == "Hear"


# TLS

DIRECT = ('starttls: "off"', "tls: direct")


def with_certificate(name: str) -> tuple[str, str]:
    files = f"certificate: {{chain: {name}.pem, key: {name}.key}}"
    return ("capulet.example: {}", f"capulet.example: {{{files}}}")


def shown_certificate(port: int) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), DEADLINE) as sock,
        context.wrap_socket(sock, server_hostname="capulet.example") as wrapped,
    ):
        return wrapped.getpeercert(binary_form=True)


def write_certificate(node, name: str) -> None:
    directory = node.file.parent
    paths = directory / f"{name}.pem", directory / f"{name}.key"
    for path in paths:
        path.unlink(missing_ok=True)
    write_self_signed(["capulet.example"], *paths)


def test_a_certificate_that_was_renewed_is_shown_from_then_on(node):
    write_certificate(node, "capulet")
    node.change(DIRECT, with_certificate("capulet"))
    port = node.server.ports[0].port
    before = shown_certificate(port)
    write_certificate(node, "capulet")
    assert shown_certificate(port) == before  # not before it is read
    changes = node.change(DIRECT, with_certificate("capulet"))
    assert changes == [
        f"capulet.example: the certificate is read again from {node.file.parent / 'capulet.pem'}"
    ]
    assert shown_certificate(port) != before


def test_a_key_of_another_certificate_undoes_the_reload(node):
    write_certificate(node, "capulet")
    node.change(DIRECT, with_certificate("capulet"))
    port = node.server.ports[0].port
    before = shown_certificate(port)
    chain = (node.file.parent / "capulet.pem").read_bytes()
    write_certificate(node, "capulet")
    (node.file.parent / "capulet.pem").write_bytes(chain)
    with pytest.raises(ConfigError, match="does not belong to"):
        node.change(DIRECT, with_certificate("capulet"))
    assert shown_certificate(port) == before


def test_a_listener_for_tls_needs_a_certificate(node):
    juliet = node.connect().bind()
    with pytest.raises(ConfigError, match="wants TLS, but no host has a certificate"):
        node.change(DIRECT)
    assert juliet.herald() == "Hear"
    assert node.server.ports[0].options.tls == "off"


# The rest


def test_limits_and_watchdog_change_while_the_server_runs(node):
    node.change(
        ("block_warning: 5 s", "block_warning: 4 s"),
        also="limits: {unauthenticated_total: 1, plugin_errors_per_minute: 7}\n",
    )
    first = node.connect().bind()
    strangers = [
        socket.create_connection(("127.0.0.1", node.server.ports[0].port)) for _ in range(2)
    ]
    assert b"resource-constraint" in strangers[0].recv(65536)
    assert first.herald() == "Hear"
    assert node.host().plugins.errors_per_minute == 7
    for stranger in strangers:
        stranger.close()


def test_what_needs_a_restart_is_told_each_time_and_not_done(node, tmp_path):
    data_dir = node.server.configuration.data_dir
    for _ in range(2):
        (change,) = node.change(also="data_dir: elsewhere\n")
        assert change.endswith("(not before a restart)")
        assert node.server.configuration.data_dir == data_dir
    assert not (tmp_path / "elsewhere").exists()


def test_only_one_reload_is_under_way(node):
    node.write(CONFIGURATION.replace("montague.example: {}", "verona.example: {}"))
    romeo = node.connect("romeo@montague.example").bind()
    first = gevent.spawn(reload, node.server)
    assert "<host-gone" in romeo.rest()
    with pytest.raises(ConfigError, match="a reload is under way"):
        reload(node.server)
    assert len(first.get(timeout=DEADLINE)) == 2
    assert reload(node.server) == [NOTHING]


@pytest.fixture
def own_log(tmp_path):
    """The process's log is the server's, as under `stonechat serve`."""
    import structlog

    before, handlers = structlog.get_config(), logging.getLogger().handlers
    log.configure("info", "text", tmp_path / "log")
    yield tmp_path / "log"
    log.configure("info", "text")
    structlog.configure(**before)
    logging.getLogger().handlers = handlers


def test_level_and_file_of_the_log_change_for_loggers_that_exist(own_log, node, tmp_path):
    logger = node.host().log
    logger.debug("a whisper")
    node.change(also=f"log: {{level: debug, file: {tmp_path}/second}}\n")
    logger.debug("a word")
    assert "a whisper" not in own_log.read_text() + (tmp_path / "second").read_text()
    assert "a word" in (tmp_path / "second").read_text()


def test_a_log_file_that_was_moved_away_is_opened_anew(own_log, node, tmp_path):
    node.change(also=f"log: {{file: {own_log}}}\n")
    own_log.rename(tmp_path / "log.1")
    assert reload(node.server) == [NOTHING]
    node.host().log.info("a word")
    assert "a word" in own_log.read_text()


def test_a_log_file_that_cannot_be_opened_undoes_the_reload(own_log, node, tmp_path):
    with pytest.raises(ConfigError, match=r"log\.file"):
        node.change(
            ("herald: {}", "herald: {word: Oyez}"), also=f"log: {{file: {tmp_path}/no/log}}\n"
        )
    assert node.connect().bind().herald() == "Hear"
    node.host().log.info("a word")
    assert "a word" in own_log.read_text()
