"""Service Discovery (XEP-0030): tells what the host and its accounts can do, and what is here."""

from stonechat import hookimpl
from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.iq import IqHandler
from stonechat.jid import JID
from stonechat.options import REQUIRED, Domain, PluginOptions, option
from stonechat.stanza import Element, Iq
from stonechat_disco.contact import ContactAddresses, contact_form
from stonechat_disco.payload import Collected, Feature, Item, items_payload

NS_INFO = "http://jabber.org/protocol/disco#info"
NS_ITEMS = "http://jabber.org/protocol/disco#items"


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
        self.host_info = Collected(host, "stonechat_disco_features", self.make_host_info)
        self.host_items = Collected(host, "stonechat_disco_items", self.make_host_items)
        self.account_info = Collected(
            host, "stonechat_account_disco_features", self.make_account_info
        )

    @hookimpl
    def stonechat_disco_features(self) -> list[str]:
        return [NS_INFO, NS_ITEMS]

    @hookimpl
    def stonechat_account_disco_features(self) -> list[str]:
        return [NS_INFO, NS_ITEMS]

    @hookimpl(trylast=True)
    def stonechat_disco_items(self) -> list[Item]:
        return [(JID.parse(item.domain), "", item.name) for item in self.options.extra_items]

    @hookimpl
    def stonechat_iq_handlers(self) -> dict[tuple[str, str], IqHandler]:
        return {
            ("get", NS_INFO): self.describe_host,
            ("get", NS_ITEMS): self.list_services,
        }

    @hookimpl
    def stonechat_account_iq_handlers(self) -> dict[tuple[str, str], IqHandler]:
        return {
            ("get", NS_INFO): self.describe_account,
            ("get", NS_ITEMS): self.list_resources,
        }

    # The host

    def describe_host(self, iq: Iq) -> Element:
        refuse_nodes(iq)
        return self.host_info.payload()

    def list_services(self, iq: Iq) -> Element:
        refuse_nodes(iq)
        return self.host_items.payload()

    def make_host_info(self, features: tuple[Feature, ...]) -> Element:
        query = info_payload("server", "im", self.options.name, features)
        if form := contact_form(self.options.contact):
            query.append(form)
        return query

    def make_host_items(self, items: tuple[Item, ...]) -> Element:
        return items_payload(NS_ITEMS, items)

    # Accounts

    def describe_account(self, iq: Iq) -> Element:
        self.check_may_see(iq)
        refuse_nodes(iq)
        return self.account_info.payload()

    def list_resources(self, iq: Iq) -> Element:
        account = self.check_may_see(iq)
        refuse_nodes(iq)
        sessions = self.host.sessions(account.localpart)
        available = [session.jid for session in sessions if session.presence is not None]
        return items_payload(NS_ITEMS, [(jid, "", "") for jid in available])

    def make_account_info(self, features: tuple[Feature, ...]) -> Element:
        return info_payload("account", "registered", "", features)

    def check_may_see(self, iq: Iq) -> JID:
        """The account that is asked about, or the error that an unknown one gets.

        XEP-0030 wants an empty list of items in both cases; what matters is that
        they look the same, and for an unknown account the kernel answers.
        """
        account = (iq.to or iq.from_).bare
        if not self.host.may_see_presence(account, iq.from_.bare):
            raise StanzaError("service-unavailable")
        return account


def refuse_nodes(iq: Iq) -> None:
    """No plugin has nodes to tell about."""
    # The tree of a request costs more than all the rest of the answer.
    if iq.mentions(b"node") and iq.payload.get("node"):
        raise StanzaError("item-not-found")


def info_payload(category: str, type: str, name: str, features: tuple[Feature, ...]) -> Element:
    identity = Element(NS_INFO, "identity", {"category": category, "type": type})
    if name:
        identity.set("name", name)
    query = Element(NS_INFO, "query", None, identity)
    for feature in sorted(set(features)):
        query.add("feature", var=feature)
    return query
