"""What comes from a directory: entries, and the ways in which nothing comes."""

from __future__ import annotations

from collections.abc import Mapping

from stonechat.errors import StonechatError, StorageError


class LdapUnavailable(StorageError):
    """The directory cannot answer now."""


class ConnectionLost(LdapUnavailable):
    """A connection broke, or nothing came over it in time; another one may do better."""


class NoServer(LdapUnavailable):
    """None of the servers answers, or not in time."""


class Refused(StonechatError):
    """The directory has answered, and the answer is no; `result` is a name of RFC 4511."""

    def __init__(self, result: str, message: str = "") -> None:
        super().__init__(f"{result}: {message}" if message else result)
        self.result = result
        self.message = message


class Entry:
    """An entry that was found. Names of attributes have no case, values come as octets."""

    __slots__ = ("_values", "dn")

    def __init__(self, dn: str, values: Mapping[str, list[bytes]]) -> None:
        self.dn = dn
        # A photo may be asked for as jpegPhoto and come as jpegPhoto;binary (RFC 4522).
        self._values = {
            name.lower().removesuffix(";binary"): tuple(found) for name, found in values.items()
        }

    def __repr__(self) -> str:
        return f"<Entry {self.dn}>"

    def octets(self, attribute: str) -> tuple[bytes, ...]:
        """All values of an attribute; none if there is no such."""
        return self._values.get(attribute.lower(), ())

    def texts(self, attribute: str) -> list[str]:
        """The same as text, without those that are none."""
        texts = []
        for value in self.octets(attribute):
            try:
                texts.append(value.decode())
            except UnicodeDecodeError:
                continue
        return texts

    def text(self, attribute: str) -> str:
        """The first of them, or `""`."""
        return next(iter(self.texts(attribute)), "")
