"""The server under test: the real kernel, with memory for sockets and a clock of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stonechat.core import plugin_loader
from stonechat.core.config import load_configuration_text
from stonechat.core.config_model import ClientListener
from stonechat.core.config_types import Configuration, Kind, PluginSetting
from stonechat.core.virtual_host import VirtualHost
from stonechat.jid import JID
from stonechat.testing import data_dir
from stonechat.testing.accounts import NAME as TESTING_AUTH
from stonechat.testing.accounts import TestingBackend
from stonechat.testing.client import TestClient
from stonechat.testing.clock import TestClock
from stonechat.testing.process import PASSWORD
from stonechat.testing.remote import TestRemote, imagine
from stonechat.testing.rest import TestedServer
from stonechat.testing.server_stream import ADDRESS as REMOTE_ADDRESS
from stonechat.testing.stream import RawStream
from stonechat.testing.transport import MemoryConnection, MemoryPort
from stonechat.testing.watch import GreenletWatch, LogWatch, leaks_of_hosts, leaks_of_plugin

if TYPE_CHECKING:
    from cryptography import x509

    from stonechat.core.plugin_manager import Running

# Reserved for documentation (RFC 5737), so nobody's.
ADDRESS = "198.51.100.1"
Starttls = Literal["required", "optional", "off"]


class TestServer:
    """A node in memory. The first `host` starts it."""

    __test__ = False

    def __init__(self, directory: Path, *, database: str = "") -> None:
        self.directory = directory
        self._database = database
        self.clock = TestClock()
        self._hosts: dict[str, TestHost] = {}
        self._remotes: dict[str, TestRemote] = {}
        self._sections: dict[str, Any] = {}
        self._kernel: TestedServer | None = None
        self._log = LogWatch()
        self._greenlets = GreenletWatch()
        self._given: list[tuple[Kind, str]] = []
        self._streams: list[RawStream] = []
        self._leaks: list[str] = []
        self._expects_errors = False
        self._is_closed = False
        self._log.start()
        self._greenlets.start()
        self._give("auth", TESTING_AUTH, TestingBackend)

    # Setting up

    def host(
        self,
        name: str,
        *,
        plugin_classes: Mapping[str, type[Any]] | None = None,
        **plugins: Mapping[str, Any] | None,
    ) -> TestHost:
        """Bring a virtual host up with these plugins and their options.

        Plugins are found among what is installed; those of `plugin_classes` are taken as
        they are given, under that name, with `{}` for options unless there are others.
        """
        for plugin, cls in (plugin_classes or {}).items():
            self._give("plugin", plugin, cls)
        wanted = {**{plugin: {} for plugin in plugin_classes or {}}, **plugins}
        if name in self._hosts:
            raise ValueError(f"{name} is served already; see its enable() and disable()")
        self._hosts[name] = host = TestHost(self, name, wanted)
        try:
            if self._kernel is None:
                self._start()
            else:
                self._kernel.configuration = self._configuration()
                self._kernel.add_host(self._kernel.configuration.hosts[host.name])
        except BaseException:
            del self._hosts[name]
            raise
        self._check_started(host)
        return host

    def remote(
        self,
        domain: str,
        *,
        certificate: x509.Certificate | bool = True,
        certificate_fault: str = "",
        address: str = REMOTE_ADDRESS,
    ) -> TestRemote:
        """Another server, which this one can find; with it federation is enabled.

        It shows a certificate for its domain, which an authority vouches for unless there is
        a fault with it, or none.
        """
        if "enabled" not in self._sections.get("federation", {}):
            self.configure(federation={"enabled": True})
        self._remotes[domain] = remote = TestRemote(
            self,
            domain,
            certificate=certificate,
            certificate_fault=certificate_fault,
            address=address,
        )
        return remote

    def configure(self, **sections: Any) -> None:
        """Set sections of the configuration: `limits={"sessions_per_account": 2}` and such.

        What the server looks up when it needs it (limits, access) changes at once for new
        connections; for the rest, call this before the first host.
        """
        for name, value in sections.items():
            old = self._sections.get(name)
            if isinstance(value, Mapping) and isinstance(old, Mapping):
                value = {**old, **value}
            self._sections[name] = value
        if self._kernel is not None:
            self._kernel.configuration = self._configuration()

    def _give(self, kind: Kind, name: str, cls: type[Any]) -> None:
        if plugin_loader.given.get((kind, name), cls) is not cls:
            raise ValueError(f"another class is called {name} already")
        plugin_loader.given[kind, name] = cls
        self._given.append((kind, name))

    def _configuration(self) -> Configuration:
        document = {
            "data_dir": str(self.directory / "data"),
            # Faster, and nothing of a test has to outlive the process.
            "durability": "memory",
            "auth": [TESTING_AUTH],
            "listen": [],
            "hosts": {name: {"plugins": host.plugins} for name, host in self._hosts.items()},
            # Its thread sleeps for half of that, also beyond the end of the test.
            "watchdog": {"block_warning": "2 s"},
            # Connections cost such a server more than a test has for them to do.
            **({"storage": {"url": self._database, "connections": 1}} if self._database else {}),
            **self._sections,
            "limits": {"idle_timeout": "off", **self._sections.get("limits", {})},
        }
        # JSON is YAML, and so the options go the way of an operator's file.
        return load_configuration_text(
            json.dumps(document, default=str), "test", plugin_loader.options_of
        )

    def _start(self) -> None:
        configuration = self._configuration()
        if not configuration.data_dir.exists():
            data_dir.prepare(configuration.data_dir)
        kernel = TestedServer(configuration, self.clock)
        imagine(kernel, self._remotes)
        kernel.start()
        self._kernel = kernel
        self.clock.drive(kernel.timers, kernel.hub, kernel.settle)

    def _check_started(self, host: TestHost) -> None:
        faults = host.kernel.plugins.quarantined
        if faults and not self._expects_errors:
            lines = (f"{plugin} does not start: {reason}" for plugin, reason in faults.items())
            raise AssertionError("\n".join(lines))

    # At work

    @property
    def kernel(self) -> TestedServer:
        """The server itself, for what the kit has no word for."""
        assert self._kernel is not None, "no host was made yet, so nothing has started"
        return self._kernel

    def command(self, name: str, /, **arguments: Any) -> Any:
        """Carry a command out, as the `stonechat` command line does; returns its result."""
        result = self.kernel.commands.run(name, arguments)
        self.settle()
        return result

    def settle(self) -> None:
        """Wait until everything is handled that does not wait for the clock or a client."""
        self.kernel.settle()

    @property
    def errors(self) -> list[str]:
        """What went wrong inside so far: plugins that failed, errors logged or not caught."""
        return self._log.errors

    def expect_errors(self) -> None:
        """Errors inside belong to this test: they do not fail it."""
        self._expects_errors = True

    def logged(self, event: str = "") -> list[dict[str, Any]]:
        """The log from level info up, or the records of one event."""
        return [record for record in self._log.events if event in ("", record["event"])]

    def restart(self) -> None:
        """Stop in order and start again on the same data; all clients lose their streams."""
        self._stop()
        self._start()
        for host in self._hosts.values():
            self._check_started(host)

    # The end

    def close(self) -> None:
        """Stop; AssertionError for what was left behind or went wrong."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._kernel is not None:
                for stream in self._streams:
                    stream.connection.hang_up()
                self._kernel.settle()
                self._stop()
        finally:
            self._log.stop()
            self._greenlets.stop()
            for key in self._given:
                plugin_loader.given.pop(key, None)
        faults = self._leaks + ([] if self._expects_errors else self.errors)
        if faults:
            raise AssertionError("\n".join(["inside the server:", *faults]))

    def _stop(self) -> None:
        kernel = self.kernel
        hosts = list(kernel.hosts.values())
        running = [(host, plugin) for host in hosts for plugin in host.plugins.running.values()]
        kernel.stop()
        self._kernel = None
        for stream in self._streams:
            stream.connection.end_work()
        self._streams.clear()
        for host, plugin in running:
            self._check_left(host, plugin)
        self._leaks += leaks_of_hosts(hosts, kernel.commands)
        kernel.settle()
        for greenlet in self._greenlets.alive():
            self._leaks.append(f"a greenlet is still alive: {greenlet!r}")

    def _check_left(self, host: VirtualHost, plugin: Running) -> None:
        self._leaks += [
            f"{host.name}: the plugin {plugin.name} has left {leak}"
            for leak in leaks_of_plugin(host, plugin)
        ]

    # For hosts

    def _connect(
        self,
        name: str,
        domain: str,
        address: str,
        *,
        tls: bool,
        starttls: Starttls,
        bindings: Mapping[str, bytes] | None = None,
    ) -> RawStream:
        kernel = self.kernel
        limits = kernel.configuration.limits
        inherited = {
            name: getattr(limits, name)
            for name in ClientListener.model_fields
            if name in type(limits).model_fields
        }
        options = ClientListener(type="c2s", port=0, starttls=starttls, **inherited)
        connection = MemoryConnection(
            kernel, self.clock, address, kernel._connection_failed, tls=tls, bindings=bindings
        )
        stream = RawStream(name, domain, connection, self.settle)
        self._streams.append(stream)
        MemoryPort(options, kernel).begin(connection.as_connection())
        return stream


class TestHost:
    """A virtual host of the server under test."""

    __test__ = False

    def __init__(
        self, server: TestServer, name: str, plugins: dict[str, Mapping[str, Any] | None]
    ) -> None:
        self.server = server
        self.plugins = plugins
        self.jid = JID.parse(name)
        self.name = self.jid.domain
        self._passwords: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<TestHost {self.name}>"

    @property
    def kernel(self) -> VirtualHost:
        """The virtual host itself, for what the kit has no word for."""
        return self.server.kernel.hosts[self.name]

    # Plugins

    def plugin(self, name: str) -> Any:
        """The running instance of a plugin."""
        running = self.kernel.plugins.running
        if name not in running:
            reason = self.kernel.plugins.quarantined.get(name, "it is not enabled")
            raise LookupError(f"{name} does not run on {self.name}: {reason}")
        return running[name].instance

    def enable(
        self,
        name: str,
        options: Mapping[str, Any] | None = None,
        *,
        plugin_class: type[Any] | None = None,
    ) -> Any:
        """Start one more plugin, as an operator does at run time; returns its instance."""
        if plugin_class is not None:
            self.server._give("plugin", name, plugin_class)
        self.plugins[name] = options or {}
        try:
            self.kernel.plugins.enable(self._setting(name))
        except BaseException:
            del self.plugins[name]
            raise
        self.server.settle()
        return self.plugin(name)

    def disable(self, name: str) -> None:
        """Stop a plugin; AssertionError if it leaves something behind."""
        running = self.kernel.plugins.running.get(name)
        self.kernel.plugins.disable(name)
        self.plugins.pop(name, None)
        self.server.settle()
        left = list(leaks_of_plugin(self.kernel, running)) if running is not None else []
        assert not left, f"{self.name}: the plugin {name} has left {', '.join(left)}"

    def _setting(self, name: str) -> PluginSetting:
        return self.server._configuration().hosts[self.name].plugins[name]

    # Accounts and clients

    def create_account(self, localpart: str, password: str = PASSWORD) -> JID:
        """Make an account, as in service: plugins are told. Returns its bare JID."""
        account = JID.make(localpart, self.name)
        self.kernel.accounts.create(account.localpart, password)
        self._passwords[account.localpart] = password
        self.server.settle()
        return account

    def connect(
        self,
        jid: JID | str,
        password: str | None = None,
        *,
        address: str = ADDRESS,
        tls: bool = True,
        lang: str = "",
    ) -> TestClient:
        """Log a client in and bind it; the account is made if it is missing.

        Without a resource in `jid` the server chooses one. No presence is sent.
        """
        wanted = jid if isinstance(jid, JID) else JID.parse(jid)
        if wanted.domain != self.name or not wanted.localpart:
            raise ValueError(f"{wanted} is no account of {self.name}")
        if not self.kernel.accounts.exists(wanted.localpart):
            self.create_account(wanted.localpart, password or PASSWORD)
        if password is None:
            password = self._password_of(wanted.localpart)
        stream = self.open_stream(tls=tls, address=address, lang=lang)
        stream.name = wanted.text
        answer = stream.authenticate(wanted.localpart, password)
        assert answer.name == "success", f"the login was refused.{stream.story()}"
        stream.open(**({"xml:lang": lang} if lang else {}))
        return TestClient(stream, wanted.resource)

    def _password_of(self, localpart: str) -> str:
        for backend, _ledger in self.server.kernel._backends[self.kernel.accounts]:
            if isinstance(backend, TestingBackend):
                return backend.password_of(localpart) or PASSWORD
        return self._passwords.get(localpart, PASSWORD)

    def open_stream(
        self,
        *,
        tls: bool = False,
        address: str = ADDRESS,
        starttls: Starttls = "optional",
        header: bool = True,
        lang: str = "",
        bindings: Mapping[str, bytes] | None = None,
    ) -> RawStream:
        """A client that has not logged in, on an open stream; the features are in `features`.

        With `header=False` it has sent nothing at all yet: see its `open()` and `send()`.
        `bindings` are what its TLS gives to bind a login to, as `{"tls-exporter": b"..."}`.
        """
        stream = self.server._connect(
            f"a stranger from {address}",
            self.name,
            address,
            tls=tls,
            starttls=starttls,
            bindings=bindings,
        )
        if header:
            stream.open(**({"xml:lang": lang} if lang else {}))
        return stream
