"""A client's stream as plugins see it, up to its session: it logs in, binds and resumes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stonechat.core.client_session import ClientSession
from stonechat.core.guarded_codec import GuardedCodec
from stonechat.core.resources import choose_jid
from stonechat.errors import JIDError, SaslFailure, StanzaError, StreamError
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT
from stonechat.protocol import stream as wire
from stonechat.protocol.c2s import C2SStream, State
from stonechat.sasl import SaslEvent, SaslSuccess
from stonechat.xml import Element, serialize

if TYPE_CHECKING:
    from stonechat.codec import Codec
    from stonechat.core.client_login import ClientLogin
    from stonechat.core.client_stream import Port
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.net.connection import Connection
    from stonechat.net.limits import Admission
    from stonechat.protocol.splitter import Splitter
    from stonechat.session import Session


class StreamFace(ABC):
    """What `stonechat.session.UnboundStream` promises, but for the end of the stream."""

    def __init__(
        self, port: Port, connection: Connection, admission: Admission[Connection] | None
    ) -> None:
        self._port = port
        self._connection = connection
        self._admission = admission
        self._protocol = C2SStream(port.limits.stanza_bytes_before_auth, port.limits.stanza_bytes)
        self._host: VirtualHost | None = None
        self._login: ClientLogin | None = None
        self._account: JID | None = None
        self._removals = 0  # of accounts, until the login
        self._session: ClientSession | None = None
        self._data: dict[str, Any] | None = None
        self._is_provisional = False
        self._header_sent = False
        # The plugin that handles an element now, and once it has bound or resumed a session:
        # what goes out before all that the session is sent.
        self._plugin = ""
        self._answers: list[bytes] | None = None
        self._from = ""
        self.lang = ""
        self.exclusive = ""
        self.is_transformed = False

    @abstractmethod
    def _features(self, host: VirtualHost) -> list[Element]: ...

    @abstractmethod
    def close(self, error: StreamError | None = None) -> None: ...

    @abstractmethod
    def _stop_timers(self) -> None: ...

    # What it is

    @property
    def address(self) -> str:
        return self._connection.address

    @property
    def is_secure(self) -> bool:
        return self._connection.tls is not None

    @property
    def is_authenticated(self) -> bool:
        return self._account is not None

    @property
    def is_bound(self) -> bool:
        return self._session is not None

    @property
    def account(self) -> JID | None:
        return self._account

    @property
    def claimed(self) -> JID | None:
        try:
            claimed = JID.parse(self._from) if self._from else None
        except JIDError:
            return None
        return claimed.bare if claimed is not None and claimed.localpart else None

    @property
    def data(self) -> dict[str, Any]:
        if self._data is None:
            self._data = {}
        return self._data

    @property
    def mechanisms(self) -> tuple[str, ...]:
        return () if self._login is None else self._login.mechanisms

    @property
    def channel_bindings(self) -> Mapping[str, bytes]:
        tls = self._connection.tls
        return {} if tls is None else tls.channel_bindings()

    # Answers

    def send(self, element: Element) -> None:
        self._send(serialize(element, NS_CLIENT))

    def send_features(self) -> None:
        assert self._host is not None
        self._send(wire.features(self._features(self._host)))

    def transform(self, codec: Codec, answer: Element) -> None:
        host = self._host
        if not self._plugin or host is None:
            raise ValueError("only who handles an element of a stream may transform it")
        if self._account is None or self._session is not None or self.is_transformed:
            raise ValueError("a stream is transformed once, between its login and its binding")
        self._check_open()
        self._protocol.transformed()
        self.send(answer)
        self._connection.transform(GuardedCodec(codec, host, self._plugin))
        self.is_transformed = True
        self._header_sent = False

    # Logging in

    def authenticate(self, mechanism: str, text: str, *, provisional: bool = False) -> SaslEvent:
        login = self._under_way()
        self._is_provisional = provisional
        return self._go_on(login.begin(mechanism, text, self))

    def respond(self, text: str) -> SaslEvent:
        return self._go_on(self._under_way().respond(text))

    def abort(self) -> SaslEvent:
        return self._under_way().abort()

    def admit(self) -> None:
        self._check_open()
        success = self._under_way().pending
        assert success is not None, "there is no success to put in force"
        self._logged_in(success.account)
        self._protocol.admitted()

    def refuse(self, failure: SaslFailure) -> SaslEvent:
        return self._under_way().refuse(failure)

    def _under_way(self) -> ClientLogin:
        if self._login is None:
            raise StreamError("policy-violation", "This stream needs no login.")
        return self._login

    def _go_on(self, event: SaslEvent) -> SaslEvent:
        self._check_open()
        login = self._under_way()
        if not isinstance(event, SaslSuccess):
            return event
        if self.claimed not in (None, event.account):
            # XEP-0388, "Initiation".
            return login.refuse(
                SaslFailure("invalid-authzid", "The stream was opened for another account.")
            )
        login.pending = event
        if not self._is_provisional:
            self.admit()
        return event

    def _logged_in(self, account: JID) -> None:
        host = self._host
        assert host is not None
        assert self._login is not None
        host.logins += 1
        host.accounts.login_succeeded(account.localpart, self.address)
        self._account = account
        self._removals = self._login.removals
        self._login = None
        if self._admission is not None:
            self._admission.authenticated()
        self._connection.is_stranger = False

    # A session

    def bind(self, resource: str) -> Session:
        self._hold()
        session = self._bind(resource)
        session.host.notify("stonechat_session_bound", {"session": session})
        return session

    def resume(self, session: Session) -> None:
        _, account = self._check_account()
        if (
            not isinstance(session, ClientSession)
            or session.jid.bare != account
            or not session.is_open
        ):
            raise StanzaError("item-not-found")
        self._hold()
        # From here on the session has its own bounds, and its own way to end.
        self._stop_timers()
        session.attach(self._connection, self._splitter(), self._admission, self._port)
        self._session = session
        self._protocol.bound()

    def _bind(self, resource: str) -> ClientSession:
        """The session of the stream, which can be found from now on; StanzaError."""
        host, account = self._check_account()
        accounts, manager = host.accounts, host.session_manager
        while True:
            removals = accounts.removals
            if removals != self._removals and not accounts.exists(account.localpart):
                raise StanzaError("not-authorized", "The account was removed.")
            self._removals = removals
            jid = choose_jid(host, account, resource, self.address, self._port.limits)
            # Both may have taken a while.
            if accounts.removals == removals and manager.session(jid) is None:
                break
        self._check_open()
        session = ClientSession(
            host, jid, self._connection, self._splitter(), self._admission, self._port
        )
        if self._data:
            session.data.update(self._data)
        manager.add(session)
        self._session = session
        self._protocol.bound()
        self._stop_timers()
        return session

    def _splitter(self) -> Splitter:
        splitter = self._protocol.splitter
        # A reload may have changed it.
        splitter.limit = self._port.limits.stanza_bytes
        return splitter

    def _check_account(self) -> tuple[VirtualHost, JID]:
        """The host and the account, if a session may begin or go on now."""
        host, account = self._host, self._account
        if host is None or account is None or self._session is not None:
            raise StanzaError("not-allowed", "This stream cannot be bound now.")
        if self._port.is_stopping:
            # Too late to be told with the others.
            raise StreamError("system-shutdown")
        if self._port.host(host.name) is not host:
            # Since the login a reload has removed it (4.9.3.5).
            raise StreamError("host-gone", "This domain is not served here any more.")
        return host, account

    # Below

    @property
    def _is_over(self) -> bool:
        return self._connection.is_closed or self._protocol.state is State.CLOSED

    def _check_open(self) -> None:
        """Go no further with a stream that has ended while we waited for something."""
        if self._is_over:
            raise StreamError("connection-timeout", "It took too long.")

    def _send(self, data: bytes) -> None:
        if self._answers is not None:
            self._answers.append(data)
        else:
            self._connection.write(data)

    def _hold(self) -> None:
        """Let the answers of the handler at work go before what others send to the session.

        The client must not be sent anything for a resource that it does not know yet, and
        with XEP-0198 what is sent again follows `<resumed/>`.
        """
        if self._plugin and self._answers is None:
            self._answers = []
            self._connection.hold()

    def _release_answers(self) -> None:
        """The handler is through: its answers leave, and then what waited."""
        answers, self._answers = self._answers, None
        if answers is not None:
            self._connection.release(b"".join(answers))
