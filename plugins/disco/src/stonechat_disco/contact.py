"""Contact Addresses for XMPP Services (XEP-0157), in the form of XEP-0128."""

from typing import Annotated

from pydantic import StringConstraints

from stonechat.forms import Field, Form
from stonechat.options import PluginOptions, option

FORM_TYPE = "http://jabber.org/network/serverinfo"

# RFC 3986, 3.1: a scheme, and something after it.
Uri = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$")]


class ContactAddresses(PluginOptions):
    abuse: tuple[Uri, ...] = option((), "URIs for complaints about abusive traffic.")
    admin: tuple[Uri, ...] = option((), "URIs of the administrators.")
    feedback: tuple[Uri, ...] = option((), "URIs for what users think of the service.")
    sales: tuple[Uri, ...] = option((), "URIs for sales and marketing.")
    security: tuple[Uri, ...] = option((), "URIs for what concerns security.")
    status: tuple[Uri, ...] = option((), "URIs that tell how the service is doing.")
    support: tuple[Uri, ...] = option((), "URIs of those who help users.")


def contact_form(addresses: ContactAddresses) -> Form | None:
    """The form that lists the addresses, or None if there are none."""
    # In the order of the registry; what is not configured is left out.
    fields = [
        Field(f"{purpose}-addresses", "list-multi", values=uris)
        for purpose, uris in addresses
        if uris
    ]
    return Form("result", FORM_TYPE, fields=fields) if fields else None
