"""Service Discovery (XEP-0030): tells what the host and its accounts can do, and what is here."""

from stonechat import hookimpl
from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.iq import IqHandler
from stonechat.jid import JID
from stonechat.namespaces import NS_DISCO_INFO, NS_DISCO_ITEMS
from stonechat.options import REQUIRED, Domain, PluginOptions, option
from stonechat.stanza import Element, Iq
from stonechat_disco.contact import ContactAddresses, contact_form
from stonechat_disco.payload import Collected, Identity, Item, info_payload, items_payload
from stonechat_disco.service import DiscoService

FEATURES = [NS_DISCO_INFO, NS_DISCO_ITEMS]

_INFO_MADE = "stonechat_disco_info_made"


class ExtraItem(PluginOptions):
    domain: Domain = option(REQUIRED, "The domain of the service.")
    name: str = option("", "What people call it.")


class Options(PluginOptions):
    name: str = option("Stonechat", "What the server calls itself.")
    extra_items: tuple[ExtraItem, ...] = option(
        (), "Services to list besides those of this server's plugins."
    )
    contact: ContactAddresses = option(
        ContactAddresses(), "Where to reach the people behind the server (XEP-0157)."
    )


class Plugin:
    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.host_info = Collected(
            host,
            self.make_host_info,
            "stonechat_disco_identities",
            "stonechat_disco_features",
            "stonechat_disco_forms",
        )
        self.host_items = Collected(host, items_payload, "stonechat_disco_items")
        self.account_info = Collected(
            host,
            self.make_account_info,
            "stonechat_account_disco_identities",
            "stonechat_account_disco_features",
        )

    def start(self) -> None:
        self.host.provide("disco", DiscoService(self.host_info, self.account_info))

    @hookimpl
    def stonechat_disco_features(self) -> list[str]:
        return FEATURES

    @hookimpl
    def stonechat_account_disco_features(self) -> list[str]:
        return FEATURES

    @hookimpl
    def stonechat_disco_forms(self) -> list[Element]:
        form = contact_form(self.options.contact)
        return [form.to_element()] if form else []

    @hookimpl(trylast=True)
    def stonechat_disco_items(self) -> list[Item]:
        return [(JID.parse(item.domain), "", item.name) for item in self.options.extra_items]

    @hookimpl
    def stonechat_iq_handlers(self) -> dict[tuple[str, str], IqHandler]:
        return {
            ("get", NS_DISCO_INFO): self.describe_host,
            ("get", NS_DISCO_ITEMS): self.list_services,
        }

    @hookimpl
    def stonechat_account_iq_handlers(self) -> dict[tuple[str, str], IqHandler]:
        return {
            ("get", NS_DISCO_INFO): self.describe_account,
            ("get", NS_DISCO_ITEMS): self.list_resources,
        }

    # The host

    def describe_host(self, iq: Iq) -> Element:
        return self.describe_node(iq) or self.host_info.payload()

    def list_services(self, iq: Iq) -> Element:
        return self.list_node(iq) or self.host_items.payload()

    def make_host_info(
        self,
        identities: tuple[Identity, ...],
        features: tuple[str, ...],
        forms: tuple[Element, ...],
    ) -> Element:
        query = info_payload([("server", "im", self.options.name), *identities], features, forms)
        self.host.notify(_INFO_MADE, query=query, of_account=False)
        return query

    # Accounts

    def describe_account(self, iq: Iq) -> Element:
        self.check_may_see(iq)
        return self.describe_node(iq) or self.account_info.payload()

    def list_resources(self, iq: Iq) -> Element:
        account = self.check_may_see(iq)
        if (answer := self.list_node(iq)) is not None:
            return answer
        sessions = self.host.sessions(account.localpart)
        available = [session.jid for session in sessions if session.presence is not None]
        return items_payload([(jid, "", "") for jid in available])

    def make_account_info(
        self, identities: tuple[Identity, ...], features: tuple[str, ...]
    ) -> Element:
        query = info_payload([("account", "registered", ""), *identities], features)
        self.host.notify(_INFO_MADE, query=query, of_account=True)
        return query

    def check_may_see(self, iq: Iq) -> JID:
        """The account that is asked about, or the error that an unknown one gets.

        XEP-0030 wants an empty list of items in both cases; what matters is that
        they look the same, and for an unknown account the kernel answers.
        """
        account = (iq.to or iq.from_).bare
        if not self.host.may_see_presence(account, iq.from_.bare):
            raise StanzaError("service-unavailable")
        return account

    # Nodes of either

    def describe_node(self, iq: Iq) -> Element | None:
        """What some plugin says of the node that is asked about; None if it is none."""
        return self.ask_about_node("stonechat_disco_node_info", iq)

    def list_node(self, iq: Iq) -> Element | None:
        """What some plugin has in the node that is asked about; None if it is none."""
        return self.ask_about_node("stonechat_disco_node_items", iq)

    def ask_about_node(self, hook: str, iq: Iq) -> Element | None:
        # The tree of a request costs more than all the rest of most answers.
        if not iq.mentions(b"node") or not (node := iq.payload.get("node")):
            return None
        answer = self.host.first(hook, iq=iq, node=node)
        if answer is None:
            raise StanzaError("item-not-found")
        if answer.get("node") != node:
            # The response must name it, too (XEP-0030, 3.2 and 4.2).
            answer = answer.copy()
            answer.set("node", node)
        return answer
