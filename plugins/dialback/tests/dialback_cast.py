"""What is said in dialbacks, and what is done over and over in their tests."""

from stonechat.namespaces import NS_CLIENT, NS_DIALBACK, NS_STANZA_ERRORS
from stonechat.stanza import Element
from stonechat.testing import error_of
from stonechat_dialback.elements import FEATURE

CAPULET, MONTAGUE = "capulet.example", "montague.example"
ROOMS, CHAT = "rooms.capulet.example", "chat.montague.example"
TYBALT = "tybalt.example"
KEY = "f" * 64

# A server of before there were errors.
TRADITIONAL = Element("urn:xmpp:features:dialback", "dialback").freeze()


def result(key=KEY, *, from_=MONTAGUE, to=CAPULET, **attributes):
    """A key that is shown; with a `type` what came of one."""
    return _element("result", key, from_, to, attributes)


def verify(key=KEY, *, id="d1", from_=MONTAGUE, to=CAPULET, **attributes):
    """A key that is asked about; with a `type` what is said of it."""
    return _element("verify", key, from_, to, {"id": id, **attributes})


def _element(name, key, from_, to, attributes):
    attributes = {"from": from_, "to": to, **attributes}
    if "type" in attributes:
        key = ""
    return Element(NS_DIALBACK, name, {k: v for k, v in attributes.items() if v is not None}, key)


def answer(stream):
    """What an answer says: its type, or the condition of its error."""
    return said(stream.receive_element())


def said(element):
    assert element.namespace == NS_DIALBACK, element
    if element.get("type") != "error":
        return element.get("type")
    (error,) = element.elements
    assert (error.namespace, error.name) == (NS_CLIENT, "error")
    assert error.get("type")
    condition = error.elements[0]
    assert condition.namespace == NS_STANZA_ERRORS
    return condition.name


def asked(remote):
    """The stream on which we ask the server of a domain, and what we ask."""
    stream = remote.accept_secure(FEATURE)
    question = stream.receive_element()
    assert (question.namespace, question.name) == (NS_DIALBACK, "verify")
    return stream, question


def say(stream, question, type_="valid", **changes):
    """Answer a question about a key."""
    attributes = {
        "from": question.get("to"),
        "to": question.get("from"),
        "id": question.get("id"),
        "type": type_,
        **changes,
    }
    stream.send(
        Element(NS_DIALBACK, "verify", {k: v for k, v in attributes.items() if v is not None})
    )


def prove(stream, remote, **addresses):
    """Show a key, and let the server of the domain say that it is right."""
    stream.send(result(**addresses))
    say(*asked(remote))
    assert answer(stream) == "valid"


def hark(from_=f"romeo@{MONTAGUE}/orchard", to=f"juliet@{CAPULET}/balcony"):
    return f"<message from='{from_}' to='{to}'><body>Hark!</body></message>"


def condition_of(client):
    """The condition of the error that a client has got for a message."""
    return error_of(client.receive_message()).condition
