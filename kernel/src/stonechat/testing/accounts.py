"""The auth backend of servers under test: cheap logins, and accounts that outlive a restart."""

from __future__ import annotations

import hmac
import json

from stonechat.auth import (
    SCRAM_HASHES,
    AccountExists,
    AccountNotFound,
    AuthBackend,
    Credentials,
    ScramCredentials,
    derive_scram,
    prepare_password,
)

NAME = "testing"

# A login costs next to nothing so, and is as good as any for a test.
ITERATIONS = 4


class TestingBackend(AuthBackend):
    """Passwords in a file, in the clear: what no server in service may do."""

    __test__ = False

    scram_iterations = ITERATIONS

    def start(self) -> None:
        self._file = self.host.data_dir / "accounts.json"
        self._passwords: dict[str, str] = {}
        if self._file.exists():
            self._passwords = json.loads(self._file.read_text())

    def password_of(self, localpart: str) -> str | None:
        """For the kit, which logs clients in."""
        return self._passwords.get(localpart)

    def check_password(self, localpart: str, password: str) -> bool:
        known = self._passwords.get(localpart)
        return known is not None and hmac.compare_digest(
            known.encode(), prepare_password(password).encode()
        )

    def scram_credentials(self, localpart: str, hash_name: str) -> ScramCredentials | None:
        known = self._passwords.get(localpart)
        return None if known is None else derive_scram(known, hash_name, b"salt", ITERATIONS)

    def scram_hashes(self) -> tuple[str, ...]:
        return tuple(SCRAM_HASHES)

    def user_exists(self, localpart: str) -> bool:
        return localpart in self._passwords

    def set_password(self, localpart: str, password: str) -> None:
        if localpart not in self._passwords:
            raise AccountNotFound(localpart)
        self._keep(localpart, password)

    def create_user(self, localpart: str, password: str) -> None:
        if localpart in self._passwords:
            raise AccountExists(localpart)
        self._keep(localpart, password)

    def remove_user(self, localpart: str) -> None:
        if self._passwords.pop(localpart, None) is None:
            raise AccountNotFound(localpart)
        self._save()

    def export_credentials(self, localpart: str) -> Credentials:
        if localpart not in self._passwords:
            raise AccountNotFound(localpart)
        return Credentials(self._passwords[localpart])

    def users(self, after: str = "", limit: int = 1000) -> list[str]:
        return sorted(name for name in self._passwords if name > after)[:limit]

    def count_users(self) -> int:
        return len(self._passwords)

    def _keep(self, localpart: str, password: str) -> None:
        self._passwords[localpart] = prepare_password(password)
        self._save()

    def _save(self) -> None:
        self._file.write_text(json.dumps(self._passwords))
