"""Service discovery as other plugins see it: the service `disco`."""

from __future__ import annotations

from stonechat.stanza import Element
from stonechat_disco.payload import Collected


class DiscoService:
    """Answers are kept: who changes what they are made of says so."""

    def __init__(self, host_info: Collected, account_info: Collected) -> None:
        self._infos = (host_info, account_info)
        self._account_info = account_info

    def account_info(self) -> Element:
        """The `<query/>` that all accounts are described by; frozen, so copy it to change it."""
        return self._account_info.payload()

    def changed(self) -> None:
        """What a plugin has to say in `stonechat_disco_info_made` is another now."""
        for info in self._infos:
            info.forget()
