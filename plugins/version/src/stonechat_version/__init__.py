"""Software Version (XEP-0092): tells a client what server it talks to."""

import platform

from stonechat import hookimpl
from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.iq import IqHandler
from stonechat.options import PluginOptions, option
from stonechat.stanza import Element, Iq

NS_VERSION = "jabber:iq:version"


class Options(PluginOptions):
    name: str = option("Stonechat", "What the software calls itself.", min_length=1)
    # XEP-0092, "Security Considerations": it helps whoever looks for a way in.
    show_os: bool = option(False, "Name the operating system in the reply.")


class Plugin:
    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options

    @hookimpl
    def stonechat_disco_features(self) -> list[str]:
        return [NS_VERSION]

    @hookimpl
    def stonechat_iq_handlers(self) -> dict[tuple[str, str], IqHandler]:
        return {("get", NS_VERSION): self.report, ("set", NS_VERSION): self.refuse}

    def report(self, iq: Iq) -> Element:
        query = Element(NS_VERSION, "query")
        query.add("name", self.options.name)
        query.add("version", self.host.software_version)
        if self.options.show_os:
            query.add("os", platform.system())
        return query

    def refuse(self, iq: Iq) -> Element:
        raise StanzaError("not-allowed", "The version cannot be set.")
