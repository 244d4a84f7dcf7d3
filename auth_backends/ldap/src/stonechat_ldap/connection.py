"""One connection to a server: ldap3, with what it leaves open closed.

ldap3 would follow referrals to wherever an entry leads it, and check names of servers by
rules of its own that know no addresses; neither happens here.
"""

from __future__ import annotations

import math
import select
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import ldap3
from ldap3.core.exceptions import LDAPExceptionError
from ldap3.protocol.rfc3062 import PasswdModifyRequestValue
from pyasn1.error import PyAsn1Error

from stonechat_ldap.entry import ConnectionLost, Entry, LdapUnavailable, Refused
from stonechat_ldap.options import DirectoryOptions
from stonechat_ldap.servers import Server

Scope = Literal["subtree", "entry"]

_SCOPES = {"subtree": ldap3.SUBTREE, "entry": ldap3.BASE}
_DEREFS = {
    "never": ldap3.DEREF_NEVER,
    "searching": ldap3.DEREF_SEARCH,
    "finding": ldap3.DEREF_BASE,
    "always": ldap3.DEREF_ALWAYS,
}

# Results of RFC 4511 and RFC 4511's registry, by number.
SUCCESS = 0
SIZE_LIMIT_EXCEEDED = 4
NO_SUCH_OBJECT = 32

# What a password that is not right is answered with: not only by invalidCredentials (49),
# but where the account is locked, has no password, or is gone.
_NO = {19, 32, 34, 48, 49, 50, 53}
# The server has its own troubles.
_TROUBLES = {3, 51, 52}

_PASSWORD_MODIFY = "1.3.6.1.4.1.4203.1.11.1"  # noqa: S105 - the name of an operation
_PAGED_RESULTS = "1.2.840.113556.1.4.319"

# What a server that is not one sends lets ldap3 fail in any of these ways.
_BREAKS = (LDAPExceptionError, PyAsn1Error, OSError, ValueError, LookupError, TypeError)


class _Tls(ldap3.Tls):  # type: ignore[misc]
    """TLS as Python does it, which knows the addresses in a certificate too."""

    def __init__(self, options: DirectoryOptions, host: str) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED if options.verify else ssl.CERT_NONE)
        self._options = options
        self._host = host
        self.failure = ""

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        options = self._options
        context = ssl.create_default_context(
            cafile=None if options.ca_file is None else str(options.ca_file)
        )
        if not options.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        try:
            if options.certificate is not None:
                context.load_cert_chain(options.certificate, options.key)
            connection.socket = context.wrap_socket(connection.socket, server_hostname=self._host)
        except ssl.SSLCertVerificationError as error:
            # ldap3 would tell of it as of any other break.
            self.failure = f"its certificate is not trusted: {error.verify_message}"
            raise


class Connection:
    """A connection that is open, and bound to nobody."""

    def __init__(
        self, server: Server, options: DirectoryOptions, monotonic: Callable[[], float]
    ) -> None:
        self.server = server
        self._options = options
        self._monotonic = monotonic
        self.is_new = True
        """Whether it was not used before."""
        self._tls = _Tls(options, server.host)
        # One for each connection: two that share it overwrite each other's address.
        target = ldap3.Server(
            server.url,
            use_ssl=server.encryption == "ldaps",
            get_info=ldap3.NONE,
            tls=self._tls,
            connect_timeout=options.timeout,
        )
        self._ldap = ldap3.Connection(
            target,
            client_strategy=ldap3.SAFE_SYNC,
            auto_referrals=False,
            check_names=False,
            return_empty_attributes=False,
            auto_escape=False,
            auto_encode=False,
            # It becomes a `struct timeval`.
            receive_timeout=math.ceil(options.timeout),
        )
        self.opened_at = self.used_at = monotonic()
        try:
            with self._broken():
                self._ldap.open(read_server_info=False)
                if server.encryption == "starttls":
                    self._ldap.start_tls(read_server_info=False)
                    if not self._ldap.tls_started:
                        raise OSError("it does not start TLS")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop it, without a word to a server that may not listen."""
        socket = self._ldap.socket
        if socket is not None:
            try:
                socket.close()
            except OSError:
                pass

    @property
    def is_alive(self) -> bool:
        """Whether nothing has come that nobody asked for, as the end of the connection."""
        if self._ldap.closed or self._ldap.socket is None:
            return False
        try:
            poll = select.poll()
            poll.register(self._ldap.socket.fileno(), select.POLLIN)
            return not poll.poll(0)
        except (OSError, ValueError):
            return False

    def used(self) -> None:
        """It was, and goes back to where it waits."""
        self.is_new = False
        self.used_at = self._monotonic()

    # Operations

    def bind(self, name: str, password: str) -> str:
        """Be somebody from now on; "" if the password is right, else why it is not.

        Where it is not, the connection is nobody's again.
        """
        octets = password.encode()
        if not octets or not name:
            # Taken for a bind without a name, such a one succeeds (RFC 4513, 5.1.2).
            raise ValueError("to bind takes a name and a password")
        connection = self._ldap
        with self._broken():
            connection.user = name
            # As octets they go as they are: SASLprep would change some, and other programs
            # that set passwords do not know it.
            connection.password = octets
            connection.authentication = ldap3.SIMPLE
            try:
                _, result, _, _ = connection.bind(read_server_info=False)
            finally:
                connection.password = connection.request = None
        code = result["result"]
        if code == SUCCESS:
            return ""
        if code in _NO:
            reason: str = f"{result['description']} {result['message']}".strip()
            return reason
        raise self._trouble(result)

    def search(
        self,
        base: str,
        wanted: str,
        attributes: list[str],
        *,
        scope: Scope = "subtree",
        limit: int = 0,
    ) -> tuple[list[Entry], bool]:
        """The entries that fit, and whether these are all."""
        with self._broken():
            _, result, response, _ = self._ldap.search(
                base,
                wanted,
                _SCOPES[scope],
                _DEREFS[self._options.deref],
                attributes=attributes or [ldap3.NO_ATTRIBUTES],
                size_limit=limit,
                time_limit=math.ceil(self._options.timeout),
            )
        return self._entries(result, response), result["result"] == SUCCESS

    def pages(
        self, base: str, wanted: str, attributes: list[str], size: int
    ) -> Iterator[tuple[list[Entry], bool]]:
        """The same, page by page (RFC 2696), so that nobody has to hold all of them."""
        cookie: bytes | None = None
        while True:
            with self._broken():
                _, result, response, _ = self._ldap.search(
                    base,
                    wanted,
                    ldap3.SUBTREE,
                    _DEREFS[self._options.deref],
                    attributes=attributes or [ldap3.NO_ATTRIBUTES],
                    paged_size=size,
                    paged_cookie=cookie,
                )
                control = result.get("controls", {}).get(_PAGED_RESULTS, {})
                cookie = control.get("value", {}).get("cookie")
            self.used_at = self._monotonic()
            yield self._entries(result, response), result["result"] == SUCCESS
            if not cookie or result["result"] != SUCCESS:
                return

    def set_password(self, dn: str, password: str) -> None:
        """Change somebody's password (RFC 3062); Refused."""
        with self._broken():
            request = PasswdModifyRequestValue()
            request["userIdentity"] = dn
            request["newPasswd"] = password.encode()
            try:
                _, result, _, _ = self._ldap.extended(_PASSWORD_MODIFY, request)
            finally:
                self._ldap.request = None
        code = result["result"]
        if code == SUCCESS:
            return
        if code in _TROUBLES:
            raise self._trouble(result)
        raise Refused(result["description"], result["message"])

    # Below

    def _entries(self, result: dict[str, Any], response: list[dict[str, Any]]) -> list[Entry]:
        code = result["result"]
        if code == NO_SUCH_OBJECT:
            raise Refused(result["description"], result["message"])
        if code not in (SUCCESS, SIZE_LIMIT_EXCEEDED):
            raise self._trouble(result)
        # References to other servers come along; what is there, is not here.
        return [
            Entry(found["dn"], found["raw_attributes"])
            for found in response
            if found["type"] == "searchResEntry"
        ]

    def _trouble(self, result: dict[str, Any]) -> LdapUnavailable:
        reason = f"it answers {result['description']}: {result['message']}".rstrip(": ")
        kind = ConnectionLost if result["result"] in _TROUBLES else LdapUnavailable
        return kind(f"{self.server.url}: {reason}")

    @contextmanager
    def _broken(self) -> Iterator[None]:
        """Around what speaks to the server: whatever breaks there has one name."""
        try:
            yield
        except _BREAKS as error:
            reason = self._tls.failure or str(error) or type(error).__name__
            raise ConnectionLost(f"{self.server.url}: {reason}") from error
