"""In-Band Registration (XEP-0077): accounts made, changed and given up by their users."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from pydantic import AfterValidator

from stonechat import hookimpl
from stonechat.auth import AccountExists, AccountNotFound, BadPassword, Unsupported
from stonechat.errors import JIDError, StanzaError, StorageError
from stonechat.host import Host
from stonechat.iq import IGNORE, Ignore, IqHandler
from stonechat.jid import JID, prepare_localpart
from stonechat.namespaces import NS_CLIENT
from stonechat.options import Duration, Network, PluginOptions, option
from stonechat.session import UnboundStream
from stonechat.stanza import Element, Iq, Message, error_element
from stonechat_register.attempts import AttemptLimit, plain_address
from stonechat_register.codes import coded_errors
from stonechat_register.forms import (
    NS_REGISTER,
    Submission,
    form_to_fill_in,
    form_with_account,
    is_removal,
    redirection,
)

NS_REGISTER_FEATURE = "http://jabber.org/features/iq-register"

Localpart = Annotated[str, AfterValidator(prepare_localpart)]

# Names under which people expect somebody in charge (RFC 2142 and custom).
RESERVED = (
    *("abuse", "admin", "administrator", "hostmaster", "info", "moderator", "noc", "operator"),
    *("postmaster", "root", "security", "server", "staff", "support", "system", "webmaster"),
)


class Options(PluginOptions):
    access: str = option(
        "open", "Who may register: `open` for everybody, or the name of an access rule."
    )
    networks: tuple[Network, ...] = option(
        (), "Networks that one may register from; none named means from everywhere."
    )
    attempts: int = option(
        5, "How often an address may try within the period; 0 is no limit.", ge=0
    )
    period: Duration = option("1 h", "The period that attempts are counted in.", gt=0)
    reserved: tuple[Localpart, ...] = option(RESERVED, "Names that cannot be registered.")
    min_password_length: int = option(
        8, "The least number of characters in a password.", ge=1, le=128
    )
    require_encryption: bool = option(
        True, "Register accounts and change passwords over encrypted streams only."
    )
    redirect_url: str = option(
        "",
        "A page where accounts are registered instead; nobody can register in-band then.",
        pattern=r"^(https?://\S+)?$",
    )
    welcome: str = option("", "A message that each new account gets.")


class Plugin:
    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.limit = AttemptLimit(options.attempts, options.period, host.monotonic)

    @hookimpl
    def stonechat_disco_features(self) -> list[str]:
        return [NS_REGISTER]

    @hookimpl
    def stonechat_stream_features(self) -> list[Callable[[UnboundStream], Element | None]]:
        return [self.feature]

    @hookimpl
    def stonechat_unauthenticated_iq_handlers(
        self,
    ) -> dict[tuple[str, str], Callable[[UnboundStream, Iq], Element | None]]:
        return {("get", NS_REGISTER): self.offer, ("set", NS_REGISTER): self.register}

    @hookimpl
    def stonechat_iq_handlers(self) -> dict[tuple[str, str], IqHandler]:
        return {("get", NS_REGISTER): self.show, ("set", NS_REGISTER): self.change}

    @hookimpl
    def stonechat_account_iq_handlers(self) -> dict[tuple[str, str], IqHandler]:
        # A client may leave out the `to`, and should when it gives up its account.
        return self.stonechat_iq_handlers()

    # Before authentication

    def feature(self, stream: UnboundStream) -> Element | None:
        if stream.is_authenticated:
            return None
        try:
            self.check_stream(stream)
        except StanzaError:
            return None
        return Element(NS_REGISTER_FEATURE, "register")

    @coded_errors()
    def offer(self, stream: UnboundStream, iq: Iq) -> Element:
        self.check_stream(stream)
        if self.options.redirect_url:
            return redirection(self.options.redirect_url)
        return form_to_fill_in()

    @coded_errors()
    def register(self, stream: UnboundStream, iq: Iq) -> None:
        self.check_stream(stream)
        if self.options.redirect_url:
            raise StanzaError("not-allowed", f"Register at {self.options.redirect_url}.")
        if is_removal(iq.payload):
            raise StanzaError("unexpected-request", "Log in first.")
        submission = Submission.read(iq.payload)
        if not submission.username or not submission.password:
            raise StanzaError("not-acceptable", "Both a name and a password are needed.")
        account = self.check_name(submission.username, stream.address)
        self.check_length(submission.password)
        if not self.limit.take(stream.address):
            # Counted are those that are taken too: whoever learns so which accounts
            # exist does not learn it of many.
            raise StanzaError("not-acceptable", "Too many attempts; try later.", type="wait")
        with account_errors():
            self.host.accounts.create(account.localpart, submission.password)
        self.host.log.info("account registered", account=account.text, address=stream.address)
        if self.options.welcome:
            self.host.spawn(self.greet, account)

    def check_stream(self, stream: UnboundStream) -> None:
        """Raise where nobody may register over this stream, whatever the name."""
        options = self.options
        if options.require_encryption and not stream.is_secure:
            raise StanzaError("not-authorized", "Encrypt the connection first.")
        address = plain_address(stream.address)
        if options.networks and (
            address is None or not any(address in network for network in options.networks)
        ):
            raise StanzaError("forbidden", "Accounts cannot be registered from your network.")
        # The host stands for an account of it whose name we do not know yet.
        self.check_rule(self.host.jid, stream.address)

    def check_rule(self, jid: JID, address: str) -> None:
        rule = self.options.access
        if rule != "open" and not self.host.allows(rule, jid, address):
            raise StanzaError("forbidden", "You may not register an account here.")

    def check_name(self, username: str, address: str) -> JID:
        """The account that is asked for, if its name can be had."""
        try:
            account = JID.make(username, self.host.name)
        except JIDError as error:
            raise StanzaError("not-acceptable", str(error)) from None
        if account.localpart in self.options.reserved:
            raise StanzaError("conflict", "This name is reserved.")
        self.check_rule(account, address)
        return account

    def check_length(self, password: str) -> None:
        least = self.options.min_password_length
        if len(password) < least:
            raise StanzaError("not-acceptable", f"A password has at least {least} characters.")

    def greet(self, account: JID) -> None:
        body = Element(NS_CLIENT, "body", None, self.options.welcome)
        self.host.route(Message(body, to=account, from_=self.host.jid))

    # Afterwards

    def show(self, iq: Iq) -> Element:
        self.check_address(iq)
        with coded_errors():
            return form_with_account(self.own_account(iq).localpart)

    def change(self, iq: Iq) -> Ignore | None:
        self.check_address(iq)
        try:
            with coded_errors():
                account = self.own_account(iq)
                if is_removal(iq.payload):
                    return self.remove(iq, account)
                self.change_password(iq, account)
        except StanzaError as error:
            # Not as the kernel answers, which sends back what was asked: here, a password
            # (XEP-0077, "User Changes Password").
            self.host.route(
                Iq(
                    error_element(error),
                    to=iq.from_,
                    from_=iq.to or iq.from_.bare,
                    type="error",
                    id=iq.id,
                )
            )
            return IGNORE
        return None

    def change_password(self, iq: Iq, account: JID) -> None:
        session = self.host.session(iq.from_)
        if self.options.require_encryption and not (session and session.is_secure):
            raise StanzaError("not-authorized", "Encrypt the connection first.")
        submission = Submission.read(iq.payload)
        if not submission.username or not submission.password:
            raise StanzaError("bad-request", "Both the name and the new password are needed.")
        if not submission.names(account):
            raise StanzaError("not-allowed", "The password of another account.")
        self.check_length(submission.password)
        accounts = self.host.accounts
        with account_errors():
            if submission.old_password is not None and not accounts.check_password(
                account.localpart, submission.old_password
            ):
                raise StanzaError("not-authorized", "The old password is wrong.")
            accounts.set_password(account.localpart, submission.password)

    def remove(self, iq: Iq, account: JID) -> Ignore:
        if len(iq.payload.elements) != 1:
            raise StanzaError("bad-request", "Nothing may stand beside the removal.")
        with account_errors():
            # With the account its sessions end, by not-authorized, and this one has to hear
            # the result before.
            self.host.accounts.remove(account.localpart, told=lambda: self.host.route(iq.result()))
        self.host.log.info("account removed by its user", account=account.text)
        return IGNORE

    def check_address(self, iq: Iq) -> None:
        """Nobody may ask for another's account; answered as if it did not exist.

        So the kernel answers where it does not: with what was asked, and without a code.
        """
        if iq.to is not None and iq.to != self.host.jid and iq.to != iq.from_.bare:
            raise StanzaError("service-unavailable")

    def own_account(self, iq: Iq) -> JID:
        """The account of who asks, which has to be here."""
        account = iq.from_.bare
        if account.domain != self.host.name or not account.localpart:
            raise StanzaError(
                "registration-required", "Accounts are registered before logging in."
            )
        return account


@contextmanager
def account_errors() -> Iterator[None]:
    """Say what the accounts refuse in the words of XEP-0077."""
    try:
        yield
    except AccountExists:
        raise StanzaError("conflict", "This name is taken.") from None
    except AccountNotFound:
        raise StanzaError("registration-required") from None
    except BadPassword as error:
        raise StanzaError("not-acceptable", str(error)) from None
    except Unsupported:
        raise StanzaError("not-allowed", "This cannot be done here in-band.") from None
    except StorageError:
        raise StanzaError("internal-server-error", type="wait") from None
