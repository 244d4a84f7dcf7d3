"""The boundary around a plugin's codec: its faults are the plugin's, and its bounds are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stonechat.codec import Codec
from stonechat.core.chains import FAULTS
from stonechat.errors import StreamError

if TYPE_CHECKING:
    from stonechat.core.virtual_host import VirtualHost


class GuardedCodec:
    """A codec that raises nothing but StreamErrors, and returns no more than it is asked for."""

    __slots__ = ("_codec", "_host", "_plugin", "has_more")

    def __init__(self, codec: Codec, host: VirtualHost, plugin: str) -> None:
        self._codec = codec
        self._host = host
        self._plugin = plugin
        self.has_more = False

    def encode(self, octets: bytes) -> bytes:
        try:
            return self._codec.encode(octets)
        except StreamError:
            raise
        except FAULTS as error:
            raise self._failed(error) from error

    def decode(self, octets: bytes, limit: int) -> bytes:
        codec = self._codec
        try:
            decoded = codec.decode(octets, limit)
            self.has_more = codec.has_more
            if len(decoded) > limit:
                raise ValueError(f"{len(decoded)} octets decoded, where {limit} are the limit")
            if self.has_more and not decoded and not octets:
                # It would be asked for ever.
                raise ValueError("there is more to decode, and nothing comes of it")
        except StreamError:
            raise
        except FAULTS as error:
            raise self._failed(error) from error
        return decoded

    def _failed(self, error: BaseException) -> StreamError:
        self._host.plugin_failed(self._plugin, "codec", error, None)
        return StreamError("internal-server-error")
