"""A client that asks for tokens and comes back with them."""

import base64
import hmac

from stonechat.namespaces import NS_SASL

NS = "urn:xmpp:sasl:2"
NS_FAST = "urn:xmpp:fast:0"
NS_BIND2 = "urn:xmpp:bind:0"
PASSWORD = "R0m30"
PHONE = "d4565fa7-4d72-4749-b3d3-740edbf87770"
TABLET = "0d9bf1a1-2a4c-4b7e-9d53-8f1f2c1a3b4c"
NONE, EXPR = "HT-SHA-256-NONE", "HT-SHA-256-EXPR"
ENDP, UNIQ = "HT-SHA-256-ENDP", "HT-SHA-256-UNIQ"
DAY = 86400
TLS_13 = {"tls-exporter": b"e" * 32, "tls-server-end-point": b"p" * 32}
ADDRESSES = (f"198.51.{number // 250}.{number % 250}" for number in range(10_000))
TLS_12 = {"tls-unique": b"u" * 12, "tls-server-end-point": b"p" * 32}


def offered(stream):
    feature = stream.features.find("authentication", NS)
    fast = feature.find("inline").find("fast", NS_FAST)
    return [] if fast is None else [m.text for m in fast.elements]


def request(mechanism=NONE):
    return f"<request-token xmlns='{NS_FAST}' mechanism='{mechanism}'/>"


def token_of(success):
    assert success.name == "success", success
    return success.find("token", NS_FAST)


def ask(host, *payload, agent=PHONE, localpart="juliet", bindings=None):
    """Log in with the password and ask for a token; the element, or None."""
    stream = host.open_stream(tls=True, bindings=bindings)
    success = stream.log_in_inline(localpart, PASSWORD, *(payload or [request()]), agent=agent)
    return token_of(success)


def new_token(host, mechanism=NONE, **options):
    return ask(host, request(mechanism), **options).get("token")


def message(token, localpart="juliet", binding=b"", values=None):
    """What a client proves its token by, in the form of today or with values."""
    signed = b"Initiator" + binding + (values or b"")
    middle = b"" if values is None else values + b"\0"
    proof = hmac.digest(token.encode(), signed, "sha256")
    return localpart.encode() + b"\0" + middle + proof


def come_back(
    stream,
    token,
    mechanism=NONE,
    *,
    agent=PHONE,
    fast="",
    payload="",
    octets=None,
    **options,
):
    """Log in with a token; the answer of the server."""
    text = base64.b64encode(message(token, **options) if octets is None else octets).decode()
    agent_element = f"<user-agent id='{agent}'/>" if agent else ""
    fast_element = "" if fast is None else f"<fast xmlns='{NS_FAST}' {fast}/>"
    stream.send(
        f"<authenticate xmlns='{NS}' mechanism='{mechanism}'>"
        f"<initial-response>{text}</initial-response>{agent_element}{fast_element}{payload}"
        "</authenticate>"
    )
    return stream.receive_element()


def back(host, token, mechanism=NONE, *, bindings=None, **options):
    """On a stream of its own, from an address where nobody has guessed before."""
    stream = host.open_stream(tls=True, bindings=bindings, address=next(ADDRESSES))
    return come_back(stream, token, mechanism, **options)


def condition_of(failure):
    assert failure.qualified_name == f"{NS} failure", failure
    assert failure.first().namespace == NS_SASL
    return failure.first().name
