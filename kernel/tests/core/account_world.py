"""Backends in memory, of every kind, and the accounts of a host over them."""

import base64

from stonechat.auth import AccountExists, AccountNotFound, AuthBackend, derive_scram
from stonechat.core.accounts import HostAccounts
from stonechat.core.throttle import LoginThrottle
from stonechat.errors import SaslFailure
from stonechat.jid import JID
from stonechat.options import PluginOptions
from stonechat.protocol.sasl import SaslExchange, mechanism_maker
from stonechat.sasl import SaslSuccess

SECRET = b"a secret of the cluster"
HOME = "192.0.2.1"
AWAY = "198.51.100.7"
JULIET = JID.parse("juliet@capulet.example")


class MemoryBackend(AuthBackend):
    """A store in memory; `fault` is what it raises while it is set."""

    def __init__(self, **passwords):
        super().__init__(None, PluginOptions())
        self.passwords = passwords
        self.calls = []
        self.fault = None

    def called(self, deed):
        self.calls.append(deed)
        if self.fault is not None:
            raise self.fault


class PlainBackend(MemoryBackend):
    """Like a directory: it tells whether a password is right, and who is there."""

    def check_password(self, localpart, password):
        self.called("check_password")
        return self.passwords.get(localpart) == password

    def user_exists(self, localpart):
        self.called("user_exists")
        return localpart in self.passwords


class OnlyCheckBackend(MemoryBackend):
    def check_password(self, localpart, password):
        self.called("check_password")
        return self.passwords.get(localpart) == password


class ScramBackend(MemoryBackend):
    """Only SCRAM credentials."""

    hashes = ("SHA-256",)

    def scram_hashes(self):
        if self.fault is not None:
            raise self.fault
        return self.hashes

    def scram_credentials(self, localpart, hash_name):
        self.called("scram_credentials")
        if localpart not in self.passwords or hash_name not in self.hashes:
            return None
        return derive_scram(self.passwords[localpart], hash_name, b"salt", 4096)


class FullBackend(PlainBackend, ScramBackend):
    """All that there is."""

    hashes = ("SHA-1", "SHA-256", "SHA-512")

    def create_user(self, localpart, password):
        self.called("create_user")
        if localpart in self.passwords:
            raise AccountExists(localpart)
        self.passwords[localpart] = password

    def remove_user(self, localpart):
        self.called("remove_user")
        if localpart not in self.passwords:
            raise AccountNotFound(localpart)
        del self.passwords[localpart]

    def set_password(self, localpart, password):
        self.called("set_password")
        self.passwords[localpart] = password

    def users(self, after="", limit=1000):
        self.called("users")
        return sorted(name for name in self.passwords if name > after)[:limit]

    def count_users(self):
        self.called("count_users")
        return len(self.passwords)


class World:
    """Accounts with all that they are given, and what they did with it."""

    def __init__(self, *backends, domain="capulet.example", secret=SECRET, told_of_removal=()):
        self.now = 0.0
        self.events = []
        self.waits = []
        self.blocking = []
        self.also_remove = list(told_of_removal)
        self.failing = []  # plugins that cannot forget an account
        self.throttle = LoginThrottle(self.clock)
        self.accounts = HostAccounts(
            domain,
            [(f"backend{number}", backend) for number, backend in enumerate(backends)],
            secret=secret,
            run_blocking=self.run_blocking,
            on_created=lambda account: self.note("created", account),
            on_removed=self.removed,
            on_password_changed=lambda account: self.note("password", account),
            throttle=self.throttle,
            clock=self.clock,
        )

    def clock(self):
        return self.now

    def note(self, event, account):
        self.events.append((event, account))

    def removed(self, account):
        self.note("removed", account)
        if self.also_remove:
            self.accounts.remove(self.also_remove.pop())
        return self.failing

    def run_blocking(self, call, *arguments):
        self.blocking.append(call.__name__)
        return call(*arguments)

    def exchange(self, address=HOME, certificate=()):
        offered = self.accounts.mechanisms(
            tls=True,
            allow_plain_without_tls=False,
            bindings={},
            certificate_accounts=bool(certificate),
        )
        lookup = self.accounts.lookup(address, certificate)
        make = mechanism_maker("capulet.example", lookup, offered=offered, bindings={})
        exchange = SaslExchange(offered, make, failure_limit=100)
        exchange.lookup = lookup
        return exchange

    def conclude(self, exchange, event, address=HOME):
        """What a stream does with the outcome; gives the condition, or "" for a success."""
        is_right = isinstance(event, SaslSuccess)
        try:
            pause = exchange.lookup.judge(is_right=is_right)
        except SaslFailure as failure:
            return failure.condition
        if pause:
            self.waits.append(pause)
            self.now += pause
        if is_right:
            self.accounts.login_succeeded(event.account.localpart, address)
        return "" if is_right else event.failure.condition

    def log_in(self, localpart, password, address=HOME):
        """By PLAIN, as a stream does it; gives the condition, or "" for a success."""
        exchange = self.exchange(address)
        return self.conclude(exchange, plain(exchange, localpart, password), address)


def plain(exchange, localpart, password):
    text = base64.b64encode(f"\0{localpart}\0{password}".encode()).decode()
    return exchange.begin("PLAIN", text)
