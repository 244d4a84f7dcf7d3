"""Server Dialback (XEP-0220, keys by XEP-0185): domains are proven by where DNS says they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from stonechat.federation import Pair, ServerStream
from stonechat.host import Host
from stonechat.namespaces import NS_DIALBACK
from stonechat.options import Duration, PluginOptions, option
from stonechat.plugin import hookimpl
from stonechat.stanza import Element
from stonechat_dialback.authoritative import Authoritative
from stonechat_dialback.elements import FEATURE, read
from stonechat_dialback.initiating import Initiating
from stonechat_dialback.keys import Keys
from stonechat_dialback.receiving import Receiving


class Options(PluginOptions):
    timeout: Duration = option(
        "20 s",
        "How long it may take to have a key verified by the server of its domain, with the time "
        "to find and reach that server.",
        ge=1,
        le=300,
    )


class Plugin:
    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        # Of all hosts together: on a stream to one of them keys may be for any other.
        keys = Keys(host.secret("keys", of_all_hosts=True))
        self.initiating = Initiating(host, keys)
        self.authoritative = Authoritative(host, keys)
        self.receiving = Receiving(host, options.timeout)

    @hookimpl
    def stonechat_server_stream_features(
        self,
    ) -> Sequence[Callable[[ServerStream], Element | None]]:
        return [lambda stream: FEATURE]

    @hookimpl
    def stonechat_server_stream_elements(
        self,
    ) -> Mapping[tuple[str, str], Callable[[ServerStream, Element], None]]:
        return {(NS_DIALBACK, "result"): self.result, (NS_DIALBACK, "verify"): self.verify}

    @hookimpl
    def stonechat_prove_domain(self, stream: ServerStream, pair: Pair) -> bool | None:
        return self.initiating.prove(stream, pair) or None

    @hookimpl
    def stonechat_server_stream_closed(self, stream: ServerStream) -> None:
        self.receiving.closed(stream)

    def result(self, stream: ServerStream, element: Element) -> None:
        """Steps 1 and 4 of the XEP: a key that lets in, and whether it does."""
        word = read(element)
        if word.type is None:
            self.receiving.asked(stream, word)
        else:
            self.initiating.answered(stream, word)

    def verify(self, stream: ServerStream, element: Element) -> None:
        """Steps 2 and 3: is this key one of yours, and whether it is."""
        word = read(element)
        if word.type is None:
            self.authoritative.asked(stream, word)
        else:
            self.receiving.answered(stream, word)
