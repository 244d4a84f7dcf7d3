"""Clients and components of slixmpp's, for a server that is a process. Needs slixmpp."""

from __future__ import annotations

import ssl
from typing import Any

from slixmpp import ClientXMPP, ComponentXMPP
from slixmpp.stanza import Presence

from stonechat.testing.event_loop import EventLoop
from stonechat.testing.process import LOCALHOST, PASSWORD, ServerProcess
from stonechat.testing.slixmpp_peer import Plugins, SlixmppPeer


class SlixmppClient(SlixmppPeer):
    """A client. Without `tls` it speaks in the clear, and logs in all the same.

    `tls` is what it trusts; with `direct_tls` it begins with TLS. `options` are for
    slixmpp's `ClientXMPP`: `sasl_mech`, `lang`.
    """

    def __init__(
        self,
        loop: EventLoop,
        jid: str,
        password: str = PASSWORD,
        *,
        port: int,
        address: str = LOCALHOST,
        tls: ssl.SSLContext | None = None,
        direct_tls: bool = False,
        plugins: Plugins = (),
        **options: Any,
    ) -> None:
        self._where = (address, port)

        def make() -> ClientXMPP:
            client = ClientXMPP(jid, password, ssl_context=tls, **options)
            client.enable_direct_tls = direct_tls
            client.enable_starttls = tls is not None and not direct_tls
            client.enable_plaintext = tls is None
            # The connection is one within the machine.
            client.plugin["feature_mechanisms"].unencrypted_plain = tls is None
            return client

        super().__init__(loop, make, plugins)

    def _prepare(self, plugins: Plugins) -> None:
        super()._prepare(plugins)
        self.xmpp.add_event_handler("roster_update", self._came)

    def _connect(self) -> Any:
        return self.xmpp.connect(*self._where)

    def sync(self) -> None:
        """Wait until the server has handled what was sent."""
        self.call("xep_0199", "ping", self.xmpp.boundjid.domain)

    def available(self, **attributes: Any) -> None:
        """Broadcast presence, as of `send_presence`, and wait until it was handled.

        If it comes back, as it does where there are rosters, it is taken out of the line.
        """
        self.send_presence(**attributes)
        self.sync()
        self._stanzas.discard_last(
            lambda stanza: isinstance(stanza, Presence) and stanza["from"].full == self.jid
        )

    def rest(self) -> list[Any]:
        """All that is in line, once what was sent to this client so far has come."""
        self.sync()
        return self._stanzas.take_all()

    # The roster

    def get_roster(self, known: str = "") -> dict[str, Any]:
        """Ask for the roster, or for what is new since a version; from here on there are pushes.

        Returns the items of the answer by address.
        """
        self.xmpp.client_roster.version = known
        answer = self.run(self.xmpp.get_roster)
        return {str(jid): item for jid, item in answer["roster"]["items"].items()}

    def push(self, jid: str, subscription: str = "", **wanted: Any) -> dict[str, Any]:
        """The item of the next roster push of a contact that says what is wanted.

        With a `subscription` and no `ask`, none of the contact is to be pending.
        """
        if subscription:
            wanted = {"ask": "", "subscription": subscription, **wanted}

        def fits(stanza: Any) -> bool:
            if stanza.name != "iq" or not stanza.get_plugin("roster", check=True):
                return False
            item = stanza["roster"]["items"].get(jid)
            return item is not None and all((item[k] or "") == v for k, v in wanted.items())

        item: dict[str, Any] = self.take(f"a push of {jid} {wanted}", fits)["roster"]["items"][jid]
        return item


class SlixmppComponent(SlixmppPeer):
    """An external component (XEP-0114)."""

    def __init__(
        self, loop: EventLoop, domain: str, secret: str, *, port: int, plugins: Plugins = ()
    ) -> None:
        def make() -> ComponentXMPP:
            return ComponentXMPP(domain, secret, LOCALHOST, port)  # type: ignore[no-untyped-call]

        super().__init__(loop, make, plugins)


class SlixmppPeers:
    """Makes peers of server processes, and is done with all of them at the end."""

    def __init__(self) -> None:
        self._loop = EventLoop()
        self._peers: list[SlixmppPeer] = []

    def client(self, process: ServerProcess, jid: str, **how: Any) -> SlixmppClient:
        """A client that is not connected; `how` is for `SlixmppClient`.

        It will go to the first port, and in the clear, unless it is told otherwise.
        """
        client = SlixmppClient(self._loop, jid, **{"port": process.port, **how})
        self._peers.append(client)
        return client

    def login(self, process: ServerProcess, jid: str, *plugins: str, **how: Any) -> SlixmppClient:
        """A client with these plugins of slixmpp's that has logged in; it sent no presence."""
        client = self.client(process, jid, plugins=plugins, **how)
        client.connect()
        return client

    def available(
        self, process: ServerProcess, jid: str, *plugins: str, **how: Any
    ) -> SlixmppClient:
        """The same, and it has broadcast its presence."""
        client = self.login(process, jid, *plugins, **how)
        client.available()
        return client

    def component(self, port: int, domain: str, secret: str, *plugins: str) -> SlixmppComponent:
        """An external component that has joined; LoginFailed if it may not."""
        component = SlixmppComponent(self._loop, domain, secret, port=port, plugins=plugins)
        self._peers.append(component)
        component.connect()
        return component

    def close(self) -> None:
        for peer in self._peers:
            peer.close()
        self._loop.close()
