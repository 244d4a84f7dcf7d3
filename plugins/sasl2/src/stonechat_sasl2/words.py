"""The elements of XEP-0388, read and made."""

from __future__ import annotations

import re

from stonechat.errors import SaslFailure
from stonechat.namespaces import NS_SASL
from stonechat.sasl import SaslSuccess, UserAgent
from stonechat.stanza import Element
from stonechat.xml import XML_LANG

NS_SASL2 = "urn:xmpp:sasl:2"

# What a client says of itself is shown to its user, in a line.
MAX_DESCRIPTION = 100

_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def initial_response(authenticate: Element) -> str:
    """The initial response as SASL in XMPP writes it: `""` for none, `"="` for an empty one."""
    found = authenticate.find("initial-response")
    return "" if found is None else response(found) or "="


def response(element: Element) -> str:
    """The data of an element, without the white space that the XEP's examples have around it."""
    text = element.text.strip()
    # Here an empty response is written as such, and this is no base 64.
    return "==" if text == "=" else text


def read_user_agent(authenticate: Element) -> UserAgent:
    """What the client tells of itself; an id that is no UUID of version 4 counts as none."""
    found = authenticate.find("user-agent")
    if found is None:
        return UserAgent()
    id_ = found.get("id").lower()
    return UserAgent(
        id_ if _UUID4.fullmatch(id_) else "",
        _description(found.find_text("software")),
        _description(found.find_text("device")),
    )


def _description(text: str) -> str:
    return " ".join(text[: 10 * MAX_DESCRIPTION].split())[:MAX_DESCRIPTION]


def challenge(text: str) -> Element:
    return Element(NS_SASL2, "challenge", None, *([text] if text else []))


def failure(error: SaslFailure) -> Element:
    element = Element(NS_SASL2, "failure")
    element.add(error.condition, namespace=NS_SASL)
    if error.text:
        element.add("text", error.text).set(XML_LANG, "en")
    return element


def success(event: SaslSuccess) -> Element:
    """`<success/>` with what the mechanism has to say, if there is anything."""
    return _concluding("success", event.text)


def continuation(event: SaslSuccess | None, task: str, text: str) -> Element:
    """`<continue/>` with one task; the mechanism has its say with the first only."""
    element = _concluding("continue", event.text if event is not None else "")
    element.add("tasks").add("task", task)
    element.add("text", text).set(XML_LANG, "en")
    return element


def _concluding(name: str, data: str) -> Element:
    element = Element(NS_SASL2, name)
    if data:
        element.add("additional-data", data)
    return element
