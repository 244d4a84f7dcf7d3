"""A SCRAM client of our own (RFC 5802), for what scramp refuses: tls-exporter.

It has scramp's methods, so that either can be given to a stream.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode

HASHES = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


class OwnScram:
    """One exchange. `binding` is (type, data); `flag` is the GS2 flag without one."""

    def __init__(
        self,
        mechanism: str,
        username: str,
        password: str,
        binding: tuple[str, bytes] | None = None,
        flag: str = "n",
    ) -> None:
        self.mechanism_name = mechanism
        self._digest = HASHES[mechanism.removesuffix("-PLUS")]
        self._password = password.encode()
        self._header = f"{flag},,".encode() if binding is None else f"p={binding[0]},,".encode()
        self._data = b"" if binding is None else binding[1]
        self._first = f"n={username},r={secrets.token_urlsafe(18)}"
        self._challenge = ""
        self._signature = b""

    def get_client_first(self) -> str:
        return self._header.decode() + self._first

    def set_server_first(self, message: str) -> None:
        self._challenge = message

    def get_client_final(self) -> str:
        fields = dict(field.split("=", 1) for field in self._challenge.split(","))
        salted = hashlib.pbkdf2_hmac(
            self._digest, self._password, b64decode(fields["s"]), int(fields["i"])
        )
        client_key = hmac.digest(salted, b"Client Key", self._digest)
        stored_key = hashlib.new(self._digest, client_key).digest()
        binding = b64encode(self._header + self._data).decode()
        final = f"c={binding},r={fields['r']}"
        message = f"{self._first},{self._challenge},{final}".encode()
        client_signature = hmac.digest(stored_key, message, self._digest)
        proof = bytes(a ^ b for a, b in zip(client_key, client_signature, strict=True))
        server_key = hmac.digest(salted, b"Server Key", self._digest)
        self._signature = hmac.digest(server_key, message, self._digest)
        return f"{final},p={b64encode(proof).decode()}"

    def set_server_final(self, message: str) -> None:
        assert message == f"v={b64encode(self._signature).decode()}", "an impostor of a server"
