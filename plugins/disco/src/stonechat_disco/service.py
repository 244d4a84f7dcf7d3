"""Service discovery as other plugins see it: the service `disco`."""

from __future__ import annotations

from stonechat_disco.payload import Collected


class DiscoService:
    """Answers are kept: who changes what they are made of says so."""

    def __init__(self, *infos: Collected) -> None:
        self._infos = infos

    def changed(self) -> None:
        """What a plugin has to say in `stonechat_disco_info_made` is another now."""
        for info in self._infos:
            info.forget()
