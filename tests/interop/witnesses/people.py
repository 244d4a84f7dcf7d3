"""People who use slixmpp over TLS, and check who they are talking to."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from slixmpp.exceptions import IqError, IqTimeout

from stonechat.testing.event_loop import EventLoop
from stonechat.testing.slixmpp_peers import SlixmppClient

PLUGINS = ("xep_0012", "xep_0092", "xep_0202", "xep_0203")


class Person(SlixmppClient):
    """One client; with `registers` it makes its account itself, in-band (XEP-0077)."""

    failures = (*SlixmppClient.failures, "not registered")

    def __init__(
        self,
        loop: EventLoop,
        jid: str,
        password: str,
        *,
        trusted: Path,
        mechanism: str = "",
        tls_version: ssl.TLSVersion | None = None,
        certificate: tuple[Path, Path] | None = None,
        registers: bool = False,
        **how: Any,
    ) -> None:
        context = ssl.create_default_context(cafile=str(trusted))
        if tls_version is not None:
            context.minimum_version = context.maximum_version = tls_version
        registering = {"force_registration": False} if registers else {"create_account": False}
        plugins: dict[str, dict[str, Any]] = {name: {} for name in PLUGINS}
        plugins["xep_0077"] = registering
        super().__init__(
            loop, jid, password, tls=context, plugins=plugins, sasl_mech=mechanism or None, **how
        )
        if registers:
            self.run(lambda: self.xmpp.add_event_handler("register", self._register))
        if certificate is not None:
            self.xmpp.certfile, self.xmpp.keyfile = map(str, certificate)

    async def _register(self, form: Any) -> None:
        answer = self.xmpp.Iq()
        answer["type"] = "set"
        answer["register"]["username"] = self.xmpp.boundjid.user
        answer["register"]["password"] = self.xmpp.password
        try:
            await answer.send()
        except (IqError, IqTimeout) as error:
            self.xmpp.event("not registered", error)
            self.xmpp.disconnect()

    @property
    def mechanism(self) -> str:
        """How this client has logged in."""
        return str(self.xmpp.plugin["feature_mechanisms"].mech.name)

    @property
    def tls_version(self) -> str:
        return str(self.run(lambda: self.xmpp.socket.version()))
