"""Stream Compression (XEP-0138): the octets of a client's stream through zlib."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Literal
from weakref import WeakSet

from stonechat.host import Host
from stonechat.options import ByteSize, PluginOptions, option
from stonechat.plugin import hookimpl
from stonechat.session import Session, UnboundStream
from stonechat.stanza import Element
from stonechat_compression.deflate import NS_COMPRESS, Deflate

__all__ = ["Options", "Plugin"]

NS_FEATURE = "http://jabber.org/features/compress"

METHOD = "zlib"


class Options(PluginOptions):
    streams: Literal["all", "encrypted", "clear"] = option(
        "all", "Which it is offered on: `encrypted` ones, those in the `clear`, or `all`."
    )
    level: int = option(6, "From 1, which takes the least time, to 9.", ge=1, le=9)
    window_bits: int = option(
        13,
        "What is sent is compared with the 2**`window_bits` octets before it. Four times as"
        " many are kept in memory for each stream.",
        ge=9,
        le=15,
    )
    memory_level: int = option(
        5, "2**(`memory_level` + 9) octets more are kept to find matches fast.", ge=1, le=9
    )
    max_ratio: int = option(
        100,
        "Octets that each octet from a client may stand for, before the stream is ended.",
        ge=10,
        le=1000,
    )
    max_excess: ByteSize = option(
        "1 MiB", "How much more than that may come in one stroke.", ge=64 * 1024
    )
    max_streams: int = option(
        1000, "Streams that are compressed at a time; beyond that it is not offered.", ge=1
    )


class Plugin:
    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        # The kernel lets one go when its connection ends.
        self.codecs: WeakSet[Deflate] = WeakSet()

    # What is offered

    @hookimpl
    def stonechat_stream_features(self) -> Sequence[Callable[[UnboundStream], Element | None]]:
        return [self.feature]

    @hookimpl
    def stonechat_unbound_stream_elements(
        self,
    ) -> Mapping[tuple[str, str], Callable[[UnboundStream, Element], None]]:
        return {(NS_COMPRESS, "compress"): self.compress}

    @hookimpl
    def stonechat_stream_elements(
        self,
    ) -> Mapping[tuple[str, str], Callable[[Session, Element], None]]:
        return {(NS_COMPRESS, "compress"): _too_late}

    def feature(self, stream: UnboundStream) -> Element | None:
        if not self._may_compress(stream):
            return None
        feature = Element(NS_FEATURE, "compression")
        feature.add("method", METHOD)
        return feature

    def _may_compress(self, stream: UnboundStream) -> bool:
        """Whether this is the time for it, and the stream is one of those that may.

        After TLS and the login, and before the binding (XEP-0170): who has no account is
        given no memory, and no work.
        """
        return (
            stream.is_authenticated
            and not stream.is_bound
            and not stream.is_transformed
            and self.options.streams in ("all", "encrypted" if stream.is_secure else "clear")
            and len(self.codecs) < self.options.max_streams
        )

    # What is asked for

    def compress(self, stream: UnboundStream, request: Element) -> None:
        """A client wants compression; a failure leaves its stream as it is."""
        methods = [e.text.strip() for e in request.elements if e.name == "method"]
        if not self._may_compress(stream) or len(methods) != 1:
            stream.send(_failure("setup-failed"))
            return
        if methods != [METHOD]:
            stream.send(_failure("unsupported-method"))
            return
        options = self.options
        try:
            codec = Deflate(
                options.level,
                options.window_bits,
                options.memory_level,
                max_ratio=options.max_ratio,
                max_excess=options.max_excess,
            )
        except (MemoryError, zlib.error) as error:
            self.host.log.warning("a stream cannot be compressed", error=repr(error))
            stream.send(_failure("setup-failed"))
            return
        stream.transform(codec, Element(NS_COMPRESS, "compressed"))
        self.codecs.add(codec)


def _too_late(session: Session, request: Element) -> None:
    session.write(_failure("setup-failed").to_bytes())


def _failure(condition: str) -> Element:
    return Element(NS_COMPRESS, "failure", None, Element(NS_COMPRESS, condition))
