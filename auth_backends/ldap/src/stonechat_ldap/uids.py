"""How an account's name is written in an entry: `uid`, or `mail` as `%u@example.org`."""

from __future__ import annotations

from typing import NamedTuple

from stonechat.errors import JIDError
from stonechat.jid import prepare_localpart
from stonechat_ldap.entry import Entry
from stonechat_ldap.filters import check_attribute, equals, like


class Uid(NamedTuple):
    """An attribute, and what its value looks like: `%u` is the localpart, `%d` the domain."""

    attribute: str
    pattern: str = "%u"

    def __str__(self) -> str:
        return (
            self.attribute if self.pattern == "%u" else f"{{{self.attribute}: {self.pattern!r}}}"
        )

    @classmethod
    def parse(cls, value: object) -> list[Uid]:
        """`uid`, or a mapping of such names to patterns; ValueError."""
        if isinstance(value, cls):
            return [value]
        if isinstance(value, str):
            return [cls(check_attribute(value))]
        if not isinstance(value, dict) or not value:
            raise ValueError("must be an attribute, or a mapping from one to a pattern with %u")
        found = []
        for attribute, pattern in value.items():
            if not isinstance(pattern, str) or pattern.count("%u") != 1:
                raise ValueError(f"the pattern of {attribute} must have %u in it, once")
            found.append(cls(check_attribute(attribute), pattern))
        return found

    def filter(self, localpart: str, domain: str) -> str:
        """Finds the entry of an account, and perhaps others: directories compare loosely."""
        before, after = self._around(domain)
        return equals(self.attribute, f"{before}{localpart}{after}")

    def like(self, parts: list[str], domain: str) -> str:
        """Finds the entries of accounts whose names consist of these parts, with any between."""
        before, after = self._around(domain)
        inner = [*parts]
        inner[0] = before + inner[0]
        inner[-1] += after
        return like(self.attribute, inner)

    def localparts(self, entry: Entry, domain: str) -> list[str]:
        """The accounts whose entry it is by this attribute, prepared."""
        before, after = self._around(domain)
        found = []
        for value in entry.texts(self.attribute):
            end = len(value) - len(after)
            if (
                end < len(before)
                or value[: len(before)].casefold() != before.casefold()
                or value[end:].casefold() != after.casefold()
            ):
                continue
            try:
                found.append(prepare_localpart(value[len(before) : end]))
            except JIDError:
                # What is called so can have no address.
                continue
        return found

    def _around(self, domain: str) -> tuple[str, str]:
        before, _, after = self.pattern.partition("%u")
        return before.replace("%d", domain), after.replace("%d", domain)
