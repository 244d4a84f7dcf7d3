"""Echo: a service that sends back whatever it gets. A plugin to learn from."""

from stonechat import hookimpl
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.options import DomainTemplate, PluginOptions, option
from stonechat.stanza import Stanza


class Options(PluginOptions):
    domain: DomainTemplate = option("echo.@HOST@", "The domain of the service.")


class Plugin:
    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.domain = options.domain.for_host(host.name)

    def start(self) -> None:
        # Taken back by the kernel when the plugin stops.
        self.host.register_route(self.domain, self.echo)

    @hookimpl
    def stonechat_disco_items(self) -> list[tuple[JID, str, str]]:
        return [(JID.parse(self.domain), "", "Echo")]

    def echo(self, stanza: Stanza) -> None:
        # An error is never answered: two who did so would never stop (RFC 6120, 8.3.1).
        if stanza.type != "error":
            self.host.route(stanza.copy_for(stanza.from_, from_=stanza.to))
