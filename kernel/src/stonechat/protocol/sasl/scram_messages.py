"""The two messages of a SCRAM client (RFC 5802, section 7), taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stonechat.errors import SaslFailure
from stonechat.protocol.sasl.encoding import decode_base64, decode_utf8

_NONCE = r"[!-+\--~]+"
_VALUE = r"[^,\0]+"
_BASE64 = r"[A-Za-z0-9+/=]+"
# Extensions that we do not know are passed over, and still signed. Their names are none
# that RFC 5802 gives a meaning (section 5.1), so `m`, which asks for an extension that
# must be understood, makes a message malformed, as that section demands.
_EXTENSIONS = rf"(?:,[bdf-hj-loqtuw-zA-Z]={_VALUE})*"

_CLIENT_FIRST = re.compile(
    rf"(?P<gs2_header>(?P<flag>n|y|p=(?P<binding_type>[A-Za-z0-9.-]+)),(?:a=(?P<authzid>{_VALUE}))?,)"
    rf"(?P<bare>n=(?P<username>{_VALUE}),r=(?P<nonce>{_NONCE}){_EXTENSIONS})"
)
_CLIENT_FINAL = re.compile(
    rf"(?P<without_proof>c=(?P<binding>{_BASE64}),r=(?P<nonce>{_NONCE}){_EXTENSIONS})"
    rf",p=(?P<proof>{_BASE64})"
)
_BAD_ESCAPE = re.compile("=(?!2C|3D)")


@dataclass(frozen=True, slots=True)
class ClientFirst:
    """Who wants in, and how the client feels about channel binding.

    `flag` is "n" (the client cannot), "y" (it can, and believes that we cannot) or "p"
    (it does, by `binding_type`). `gs2_header` and `bare` are as received: they are signed.
    """

    gs2_header: str
    flag: str
    binding_type: str
    authzid: str
    username: str
    nonce: str
    bare: str


@dataclass(frozen=True, slots=True)
class ClientFinal:
    """The proof, and what it is a proof over; `without_proof` is as received."""

    binding: bytes
    nonce: str
    proof: bytes
    without_proof: str


def parse_client_first(message: bytes) -> ClientFirst:
    match = _CLIENT_FIRST.fullmatch(decode_utf8(message))
    if not match:
        raise _malformed()
    return ClientFirst(
        gs2_header=match["gs2_header"],
        flag=match["flag"][0],
        binding_type=match["binding_type"] or "",
        authzid=_unescape(match["authzid"] or ""),
        username=_unescape(match["username"]),
        nonce=match["nonce"],
        bare=match["bare"],
    )


def parse_client_final(message: bytes) -> ClientFinal:
    match = _CLIENT_FINAL.fullmatch(decode_utf8(message))
    if not match:
        raise _malformed()
    try:
        binding, proof = decode_base64(match["binding"]), decode_base64(match["proof"])
    except ValueError as error:
        raise _malformed() from error
    return ClientFinal(binding, match["nonce"], proof, match["without_proof"])


def _unescape(saslname: str) -> str:
    if _BAD_ESCAPE.search(saslname):
        raise _malformed()
    return saslname.replace("=2C", ",").replace("=3D", "=")


def _malformed() -> SaslFailure:
    return SaslFailure("malformed-request", "This is not a message of SCRAM.")
