"""The accounts of a virtual host, whichever auth backends they are in.

The errors are those of the backends, and in `stonechat.auth`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stonechat.auth import Credentials, ScramCredentials


class Accounts(Protocol):
    """The accounts of a host, over all its authentication backends, in their order.

    Localparts are prepared ones, as in a JID. All may block, and raise
    AuthUnavailable when no backend can answer.
    """

    def exists(self, localpart: str) -> bool: ...
    def may_exist(self, localpart: str) -> bool:
        """Like `exists`, but yes where a backend that lets users in cannot tell."""

    def check_password(self, localpart: str, password: str) -> bool: ...
    def create(self, localpart: str, password: str) -> None:
        """AccountExists if it does; Unsupported if no backend creates accounts.

        AuthUnavailable where a plugin cannot forget the data of an earlier one.
        """

    def remove(self, localpart: str, *, told: Callable[[], object] = lambda: None) -> None:
        """Remove an account, end its sessions and tell all plugins; AccountNotFound, Unsupported.

        `told` is called in between: once the account is gone, and while its sessions can
        still be sent something. It is not called where the account cannot be removed.
        """

    def set_password(self, localpart: str, password: str) -> None:
        """AccountNotFound; Unsupported."""

    def upgradable_hashes(self) -> tuple[str, ...]:
        """The SCRAM hashes that some accounts lack and can be given, the strongest first."""

    def missing_hashes(self, localpart: str) -> Mapping[str, int]:
        """Those that one account lacks, each with the iterations for it."""

    def add_scram(self, localpart: str, credentials: ScramCredentials) -> None:
        """Keep credentials for a hash that an account lacks; Unsupported."""

    def credentials(self, localpart: str) -> Credentials:
        """What is kept of an account's password, to be moved; AccountNotFound, Unsupported.

        Whoever has it can pretend to be the account elsewhere, and guess at the password.
        """

    def import_account(self, localpart: str, credentials: Credentials) -> None:
        """As `create`, with credentials from elsewhere; BadPassword where there are none."""

    def __iter__(self) -> Iterator[str]:
        """All localparts that the backends can list, sorted for each backend."""

    def count(self) -> int: ...
