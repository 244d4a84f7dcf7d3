"""CPU time: tells how long the server has computed. A plugin to learn from."""

import time

from stonechat import hookimpl
from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.iq import IqHandler
from stonechat.options import PluginOptions
from stonechat.stanza import Element, Iq

# Kept from the server whose example this was: its clients know it by that name.
NS_CPUTIME = "ejabberd:cputime"


class Plugin:
    def __init__(self, host: Host, options: PluginOptions) -> None:
        """One instance for each host; this one needs neither of the two."""

    @hookimpl
    def stonechat_disco_features(self) -> list[str]:
        return [NS_CPUTIME]

    @hookimpl
    def stonechat_iq_handlers(self) -> dict[tuple[str, str], IqHandler]:
        return {("get", NS_CPUTIME): self.report, ("set", NS_CPUTIME): self.refuse}

    def report(self, iq: Iq) -> Element:
        query = Element(NS_CPUTIME, "query")
        query.add("cputime", f"{time.process_time():.3f}")
        return query

    def refuse(self, iq: Iq) -> Element:
        raise StanzaError("not-allowed", "CPU time cannot be set.")
