"""A directory: its entries, and which of them are accounts of a host."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TypeVar

import gevent

from stonechat_ldap.connection import Connection
from stonechat_ldap.entry import ConnectionLost, Entry, LdapUnavailable, NoServer, Refused
from stonechat_ldap.filters import all_of, any_of, filled_in
from stonechat_ldap.options import DirectoryOptions
from stonechat_ldap.outage import Outage
from stonechat_ldap.pool import Pool
from stonechat_ldap.servers import Servers

if TYPE_CHECKING:
    from stonechat.host import Host

T = TypeVar("T")

Page = tuple[list[Entry], bool]
Pages = Iterator[Page]

# For all that one call takes, whichever servers hang: the kernel waits five seconds.
DEADLINE = 4.5

# How many entries are looked at that a directory takes for one account.
MAX_ALIKE = 10

# So many entries come at once; in between, others in the server have their turn.
PAGE = 100

BREATH = 0.001

LOOK_SECONDS = 10.0


class Directory:
    """What the options describe, for one host. LdapUnavailable where nobody answers.

    All calls may block, for five seconds at most, and from `start` to `stop`.
    """

    def __init__(self, host: Host, options: DirectoryOptions) -> None:
        self.host = host
        self.options = options
        now = host.monotonic
        self._servers = Servers(options.parsed_servers(), options.leave_alone, now, host.log)
        self._outage = Outage(now)
        idle = options.idle_timeout
        # One for those that stay bound as who looks up, one for those that become anybody.
        self._lookups, self._logins = (
            Pool(options.connections, connect, idle_seconds=idle, monotonic=now)
            for connect in (self._connect_to_look_up, self._connect)
        )

    def start(self) -> None:
        """Begin; nothing is opened before it is wanted."""
        if not self.options.verify:
            self.host.log.warning("certificates of directory servers are not verified")
        self.host.call_every(LOOK_SECONDS, self.close_idle)

    def stop(self) -> None:
        """Close everything."""
        for pool in (self._lookups, self._logins):
            pool.close()

    def close_idle(self) -> None:
        """Close what nobody has used for long."""
        for pool in (self._lookups, self._logins):
            pool.close_idle()

    @property
    def open_connections(self) -> int:
        """Connections that wait for their next use."""
        return len(self._lookups) + len(self._logins)

    # Accounts

    def find(self, localpart: str, attributes: Sequence[str] = ()) -> Entry | None:
        """The entry of an account, with these attributes; None if there is not exactly one."""
        return self._run(
            self._lookups, lambda connection: self._find(connection, localpart, attributes)
        )

    def localparts(self, entry: Entry) -> list[str]:
        """The accounts whose entry it is, prepared; the first one is its usual name."""
        found: dict[str, None] = {}
        for uid in self.options.uids:
            found.update(dict.fromkeys(uid.localparts(entry, self.host.name)))
        return list(found)

    @property
    def uid_attributes(self) -> list[str]:
        """The attributes that `localparts` looks at."""
        return [uid.attribute for uid in self.options.uids]

    def accepts(self, dn: str, password: str) -> bool:
        """Whether somebody may log in so. The password must not be empty."""

        def log_in(connection: Connection) -> str:
            return connection.bind(dn, password)

        refusal = self._run(self._logins, log_in)
        if refusal:
            self.host.log.debug("the directory refuses a password", dn=dn, reason=refusal)
        return not refusal

    def log_in(self, name: str, localpart: str, password: str, *, is_dn: bool) -> Entry | None:
        """The same for somebody who is not looked up before: his entry, by what he may see.

        It is the one called `name` itself, if that is a distinguished name, and has to be
        that of the account all the same.
        """

        def log_in(connection: Connection) -> Entry | None:
            refusal = connection.bind(name, password)
            if refusal:
                self.host.log.debug("the directory refuses a password", dn=name, reason=refusal)
                return None
            return self._find(connection, localpart, (), dn=name if is_dn else "")

        return self._run(self._logins, log_in)

    def set_password(self, dn: str, password: str) -> None:
        """Change somebody's password (RFC 3062); Refused."""
        self._run(self._lookups, lambda connection: connection.set_password(dn, password))

    # Entries

    def search(
        self, wanted: str, attributes: Sequence[str], *, base: str = "", limit: int
    ) -> list[Entry]:
        """At most `limit` entries below `base`, or else below that of the options."""

        def search(connection: Connection) -> list[Entry]:
            found, _ = self._search(connection, wanted, attributes, base=base, limit=limit)
            return found

        return self._run(self._lookups, search)

    def allows(self, entry: Entry, localpart: str) -> bool:
        """Whether an entry that was found passes `dn_filter`, too."""
        if not self.options.dn_filter:
            return True
        return self._run(
            self._lookups, lambda connection: self._passes(connection, entry, localpart)
        )

    def pages(
        self, wanted: str, attributes: Sequence[str], *, base: str = ""
    ) -> Iterator[list[Entry]]:
        """All entries below a base, a page at a time; each may take as long as a call."""
        where = base or self.options.base
        with ExitStack() as lent:
            try:
                with self._outage.guard():
                    connection, pages, page = self._begin(lent, where, wanted, attributes)
                while page is not None:
                    entries, is_complete = page
                    self._servers.answered(connection.server)
                    if len(entries) == PAGE:
                        # There may be many more, and what has come already is read without a
                        # pause. To sleep for no time lets timers of others wait all the same.
                        gevent.sleep(BREATH)
                    yield entries
                    if not is_complete:
                        self.host.log.warning(
                            "the directory does not show all entries", filter=wanted
                        )
                    page = self._next(connection, pages)
            except Refused as error:
                raise LdapUnavailable(f"{where}: {error}") from error

    @property
    def people_filter(self) -> str:
        """What an entry must be to be that of any account."""
        names = any_of(*(f"({attribute}=*)" for attribute in self.uid_attributes))
        return all_of(names, self.options.filter)

    # Below

    def _find(
        self, connection: Connection, localpart: str, attributes: Sequence[str], *, dn: str = ""
    ) -> Entry | None:
        names = any_of(*(uid.filter(localpart, self.host.name) for uid in self.options.uids))
        wanted = all_of(names, self.options.filter)
        found, is_complete = self._search(
            connection, wanted, [*self.uid_attributes, *attributes], dn=dn, limit=MAX_ALIKE
        )
        # Directories compare without accents, or without spaces: whose name is only much
        # like another's must not become him.
        found = [entry for entry in found if localpart in self.localparts(entry)]
        if len(found) > 1 or not is_complete:
            self.host.log.warning(
                "several entries are one account, which cannot be used",
                account=localpart,
                entries=[entry.dn for entry in found],
            )
            return None
        if not found or not self._passes(connection, found[0], localpart):
            return None
        return found[0]

    def _begin(
        self, lent: ExitStack, base: str, wanted: str, attributes: Sequence[str]
    ) -> tuple[Connection, Pages, Page | None]:
        """The first page of many, and the connection for the others, which is `lent`."""
        while True:
            was_used = False
            try:
                with ExitStack() as attempt:
                    connection = attempt.enter_context(self._lookups.lend())
                    was_used = not connection.is_new
                    pages = connection.pages(base, wanted, [*attributes], PAGE)
                    page = self._next(connection, pages, is_suspect=was_used)
                    lent.push(attempt.pop_all())
                    return connection, pages, page
            except ConnectionLost:
                if not was_used:
                    raise
                # It may have died since then, and so may the others.
                self._lookups.drop(connection.server)

    def _next(
        self, connection: Connection, pages: Pages, *, is_suspect: bool = False
    ) -> Page | None:
        try:
            with _deadline():
                return next(pages, None)
        except ConnectionLost as error:
            if not is_suspect:
                self._servers.failed(connection.server, str(error))
            raise

    def _passes(self, connection: Connection, entry: Entry, localpart: str) -> bool:
        options = self.options
        if not options.dn_filter:
            return True
        values = {"D": entry.dn, "u": localpart, "d": self.host.name}
        found, _ = self._search(
            connection,
            filled_in(options.dn_filter, values),
            (),
            base=options.dn_filter_base,
            limit=1,
        )
        return bool(found)

    def _search(
        self,
        connection: Connection,
        wanted: str,
        attributes: Sequence[str],
        *,
        base: str = "",
        dn: str = "",
        limit: int,
    ) -> tuple[list[Entry], bool]:
        """Below a base, or of the entry `dn` only."""
        where = dn or base or self.options.base
        try:
            return connection.search(
                where, wanted, [*attributes], scope="entry" if dn else "subtree", limit=limit
            )
        except Refused as error:
            if dn:
                return [], True
            # It is the administrator's slip, and no reason to say that an account is not there.
            raise LdapUnavailable(f"{where}: {error}") from error

    def _run(self, pool: Pool, work: Callable[[Connection], T]) -> T:
        with self._outage.guard(), _deadline():
            return self._attempt(pool, work)

    def _attempt(self, pool: Pool, work: Callable[[Connection], T]) -> T:
        """Connections may have died since they were used last, and so may servers."""
        for _ in range(len(self._servers) + 1):
            began = time.monotonic()
            connection: Connection | None = None
            try:
                with pool.lend() as connection:
                    found = work(connection)
            except ConnectionLost as error:
                assert connection is not None, "who cannot connect raises NoServer"
                lost = error
            else:
                # Not before: who hangs takes connections all the same.
                self._servers.answered(connection.server)
                return found
            server = connection.server
            for each in (self._lookups, self._logins):
                each.drop(server)
            # Nearly: clocks are not that exact.
            if connection.is_new or time.monotonic() - began > 0.9 * self.options.timeout:
                self._servers.failed(server, str(lost))
            if connection.is_new and len(self._servers) == 1:
                break
        raise NoServer(str(lost))

    def _connect_to_look_up(self) -> Connection:
        return self._connect(self._introduce)

    def _introduce(self, connection: Connection) -> None:
        options = self.options
        if options.password_file is None:
            return
        refusal = connection.bind(options.bind_dn, options.password_file.read().reveal())
        if refusal:
            raise LdapUnavailable(
                f"{connection.server.url}: it does not let {options.bind_dn} in: {refusal}"
            )

    def _connect(self, prepare: Callable[[Connection], None] | None = None) -> Connection:
        """A connection to the first server that answers; NoServer."""
        reason = "there is no server"
        for server in self._servers.candidates():
            try:
                connection = Connection(server, self.options, self.host.monotonic)
                if prepare is not None:
                    try:
                        prepare(connection)
                    except BaseException:
                        connection.close()
                        raise
            except LdapUnavailable as error:
                reason = str(error)
                self._servers.failed(server, reason)
                continue
            return connection
        raise NoServer(reason)


@contextmanager
def _deadline() -> Iterator[None]:
    timeout = gevent.Timeout(DEADLINE)
    timeout.start()
    try:
        yield
    except gevent.Timeout as error:
        if error is not timeout:
            raise
        raise NoServer("the directory takes too long") from None
    finally:
        timeout.close()
