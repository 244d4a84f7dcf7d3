"""TLS contexts made of certificate files: the rules that every stream's TLS keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias

from cryptography import x509
from OpenSSL import SSL

# The binding under pyOpenSSL, for what it has no method for.
from OpenSSL._util import lib

from stonechat.errors import ConfigError
from stonechat.jid import prepare_domain
from stonechat.net.certificates import CertificatePaths, read_pair

# For TLS 1.2: forward secrecy and authenticated encryption only (RFC 9325, 4.2). The
# order is the client's, which knows whether its machine has AES in hardware.
DEFAULT_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"

MinimumVersion: TypeAlias = Literal["1.2", "1.3"]
_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}

# Authorities that vouch for peers: a file of them, those of the operating system, or none.
Trust: TypeAlias = Path | Literal["system"] | None

Contexts: TypeAlias = dict[CertificatePaths | None, SSL.Context]
# What the system says of a file; None where it says nothing.
Stamp: TypeAlias = tuple[int, int, int] | None


class ContextSet(ABC):
    """Contexts made of files, all by the same rules, and made anew when files change.

    `ciphers` are those of TLS 1.2 and `groups` those of the key exchange, in OpenSSL's
    spelling; "" leaves the groups to OpenSSL.
    """

    def __init__(
        self,
        certificates: Mapping[str, CertificatePaths],
        *,
        minimum_version: MinimumVersion = "1.2",
        ciphers: str = DEFAULT_CIPHERS,
        groups: str = "",
        trust: Trust = None,
    ) -> None:
        self._certificates = {prepare_domain(host): pair for host, pair in certificates.items()}
        self._minimum_version = minimum_version
        self._ciphers = ciphers
        self._groups = groups
        self._trust = trust
        self._stamps: dict[Path, Stamp] = {}
        self._contexts: Contexts = {}
        # Our own certificate of each pair: in use, and as far as read by who builds.
        self._own: dict[CertificatePaths, x509.Certificate] = {}
        self._read: dict[CertificatePaths, x509.Certificate] = {}

    @property
    def certificates(self) -> dict[str, x509.Certificate]:
        """The certificate of each host that is in use, whatever its file holds by now."""
        return {host: self._own[pair] for host, pair in self._certificates.items()}

    def stale(self) -> bool:
        """Whether a file has changed since it was read."""
        return bool(self.changes())

    def changes(self) -> dict[Path, Stamp]:
        """The files that have changed since they were read, and what the system says of them."""
        now = {path: _stamp(path) for path in self._stamps}
        return {path: stamp for path, stamp in now.items() if stamp != self._stamps[path]}

    def reload(self) -> None:
        """Read all files again. On ConfigError everything stays as it was.

        Connections that exist keep what they began with.
        """
        problems = self._build(self._pairs(), keep_old=False)
        if problems:
            raise ConfigError(*problems)

    def renew(self) -> list[str]:
        """The same pair by pair: one that cannot be used stays as it was. Returns why."""
        return self._build(self._pairs(), keep_old=True)

    @abstractmethod
    def _pairs(self) -> Iterable[CertificatePaths | None]:
        """What there has to be a context for."""

    def _files(self) -> set[Path]:
        files = {path for pair in self._certificates.values() for path in pair}
        if isinstance(self._trust, Path):
            files.add(self._trust)
        return files

    def _build(self, pairs: Iterable[CertificatePaths | None], *, keep_old: bool) -> list[str]:
        """Make a context for each certificate; unless all can be, or old ones kept, none.

        Returns what is wrong with the files.
        """
        # Taken before reading: what changes meanwhile is seen as stale afterwards.
        stamps = {path: _stamp(path) for path in self._files()}
        contexts: Contexts = {}
        self._read = {}
        store = None
        problems: list[str] = []
        for pair in dict.fromkeys(pairs):
            files: tuple[Path, ...] = pair or ()
            try:
                context = self._make_context(pair)
                if store is None:
                    files = (self._trust,) if isinstance(self._trust, Path) else ()
                    store = self._load_trust(context)
                else:
                    # One for all: the authorities of an operating system take 2 MB.
                    lib.X509_STORE_up_ref(store)
                    lib.SSL_CTX_set_cert_store(context._context, store)
            except ConfigError as error:
                problems += error.problems
                if keep_old:
                    contexts[pair] = self._contexts[pair]
                    if pair is not None:
                        self._read[pair] = self._own[pair]
                    stamps.update((path, self._stamps[path]) for path in files)
            else:
                contexts[pair] = context
        if keep_old or not problems:
            self._own = self._read
            self._stamps = stamps
            self._put_in_force(contexts)
        return list(dict.fromkeys(problems))

    def _put_in_force(self, contexts: Contexts) -> None:
        self._contexts = contexts

    def _make_context(self, pair: CertificatePaths | None) -> SSL.Context:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(_VERSIONS[self._minimum_version])
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET)
        # No resumption: a resumed session shows no certificate to verify, and would
        # outlive a reload. A full handshake takes half a millisecond.
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_session_id(b"stonechat")
        # 22 KiB less for each idle connection.
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        try:
            context.set_cipher_list(self._ciphers.encode("ascii"))
        except (SSL.Error, UnicodeEncodeError) as error:
            raise ConfigError(f"no cipher is called {self._ciphers!r}") from error
        if self._groups and not lib.SSL_CTX_set1_curves_list(
            context._context, self._groups.encode("ascii", "replace")
        ):
            lib.ERR_clear_error()
            raise ConfigError(f"no key exchange group is called {self._groups!r}")
        if pair is not None:
            self._use_pair(context, pair)
        return context

    def _use_pair(self, context: SSL.Context, pair: CertificatePaths) -> x509.Certificate:
        chain, key = read_pair(pair)
        try:
            context.use_certificate(chain[0])
            for certificate in chain[1:]:
                context.add_extra_chain_cert(certificate)
            context.use_privatekey(key)
        except SSL.Error as error:
            reasons = "; ".join(reason for *_, reason in error.args[0])
            raise ConfigError(f"{pair.chain}: cannot be used: {reasons}") from error
        self._read[pair] = chain[0]
        return chain[0]

    def _load_trust(self, context: SSL.Context) -> object:
        if self._trust == "system":
            context.set_default_verify_paths()
        elif self._trust is not None:
            try:
                context.load_verify_locations(self._trust)
            except SSL.Error as error:
                raise ConfigError(
                    f"{self._trust}: no certificates of authorities can be read from it"
                ) from error
        return lib.SSL_CTX_get_cert_store(context._context)


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
