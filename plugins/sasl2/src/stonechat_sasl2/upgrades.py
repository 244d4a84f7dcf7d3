"""SASL Upgrade Tasks (XEP-0480): a client computes the hashes that its account lacks."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from stonechat.auth import SALT_BYTES, scram_from_salted
from stonechat.errors import SaslFailure, StonechatError
from stonechat.host import Host
from stonechat.sasl import SaslSuccess
from stonechat.stanza import Element
from stonechat_sasl2.words import NS_SASL2

NS_UPGRADE = "urn:xmpp:sasl:upgrade:0"
NS_SCRAM_UPGRADE = "urn:xmpp:scram-upgrade:0"

_PREFIX = "UPGR-SCRAM-"

# RFC 7677, section 4: fewer are not enough for anybody.
MIN_ITERATIONS = 4096


@dataclass
class UpgradeTask:
    """One hash that one client is asked for. The client begins it, and then answers."""

    localpart: str
    hash_name: str
    iterations: int
    salt: bytes = field(default_factory=lambda: secrets.token_bytes(SALT_BYTES))
    is_begun: bool = False

    @property
    def name(self) -> str:
        return _PREFIX + self.hash_name

    def begin(self) -> Element:
        """What the client needs to compute the SaltedPassword."""
        self.is_begun = True
        data = Element(NS_SASL2, "task-data")
        salt = data.add("salt", base64.b64encode(self.salt).decode(), namespace=NS_SCRAM_UPGRADE)
        salt.set("iterations", str(self.iterations))
        return data

    def finish(self, host: Host, data: Element) -> None:
        """Keep what the client has computed; SaslFailure where that is none."""
        text = data.find_text("hash", NS_SCRAM_UPGRADE).strip()
        try:
            salted = base64.b64decode(text, validate=True)
            credentials = scram_from_salted(salted, self.hash_name, self.salt, self.iterations)
        except (binascii.Error, ValueError):
            raise SaslFailure("malformed-request", "This is no SaltedPassword.") from None
        try:
            host.accounts.add_scram(self.localpart, credentials)
        except StonechatError as error:
            # Who has the right password is let in all the same, and asked again next time.
            host.log.warning("hash not added", account=self.localpart, reason=str(error))


class Upgrades:
    """What can be asked for on a host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def offered(self) -> tuple[str, ...]:
        """The hashes that accounts may lack: the same to everybody."""
        return self._host.accounts.upgradable_hashes()

    @staticmethod
    def announcements(hashes: tuple[str, ...]) -> list[Element]:
        return [Element(NS_UPGRADE, "upgrade", None, _PREFIX + name) for name in hashes]

    def requested(self, authenticate: Element) -> list[str]:
        """The hashes that a client is ready to compute, as far as they are wanted."""
        names = [e.text.strip() for e in authenticate.find_all("upgrade", NS_UPGRADE)]
        if not names:
            return []
        return [name for name in self.offered() if _PREFIX + name in names]

    def tasks(self, event: SaslSuccess, hashes: Iterable[str]) -> list[UpgradeTask]:
        """Those that the account really lacks."""
        # A token or a certificate does not make a new password.
        if not event.mechanism.startswith(("SCRAM-", "PLAIN")):
            return []
        localpart = event.account.localpart
        try:
            missing = self._host.accounts.missing_hashes(localpart)
        except StonechatError as error:
            self._host.log.warning("hashes not looked up", account=localpart, reason=str(error))
            return []
        return [
            UpgradeTask(localpart, name, max(missing[name], MIN_ITERATIONS))
            for name in hashes
            if name in missing
        ]
