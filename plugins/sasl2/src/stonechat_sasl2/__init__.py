"""Extensible SASL (XEP-0388) with Bind 2 (XEP-0386) and SASL Upgrade Tasks (XEP-0480)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stonechat import hookimpl
from stonechat.errors import SaslFailure, StreamError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.options import PluginOptions, option
from stonechat.sasl import (
    LOGIN_REQUEST,
    USER_AGENT,
    SaslChallenge,
    SaslEvent,
    SaslFailed,
    SaslSuccess,
)
from stonechat.session import UnboundStream
from stonechat.stanza import Element
from stonechat_sasl2 import words
from stonechat_sasl2.binding import NS_BIND2, Binder
from stonechat_sasl2.inline import InlineFeatures
from stonechat_sasl2.upgrades import Upgrades, UpgradeTask
from stonechat_sasl2.words import NS_SASL2

__all__ = ["NS_BIND2", "NS_SASL2", "Options", "Plugin"]

# Where the login under way is kept in the data of its stream.
_LOGIN = "sasl2"

# Streams differ in their TLS, and over time in what plugins offer.
MAX_MADE = 32

_OUT_OF_ORDER = "This element is out of order."


class Options(PluginOptions):
    stable_resources: bool = option(
        True, "Give a client that names itself the same resource each time it binds inline."
    )
    upgrades: bool = option(
        True, "Ask clients to compute the SCRAM hashes that their accounts lack."
    )
    allow_without_tls: bool = option(
        False, "Offer it on streams without TLS, too: for those that a proxy has decrypted."
    )


@dataclass
class Login:
    """An authentication under way, from `<authenticate/>` to `<success/>`."""

    request: Element
    hashes: list[str]  # that the client is ready to compute
    success: SaslSuccess | None = None  # once the mechanism is through
    tasks: list[UpgradeTask] = field(default_factory=list)  # the first is at hand


class Plugin:
    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.inline: InlineFeatures[UnboundStream] = InlineFeatures(
            host, "stonechat_sasl2_features"
        )
        self.binder = Binder(host, stable_resources=options.stable_resources)
        self.upgrades = Upgrades(host)
        # What was offered lately, by all that it depends on but the inline features.
        self.made: dict[tuple[tuple[str, ...], ...], tuple[list[Element], Element]] = {}

    @hookimpl
    def stonechat_stream_features(self) -> list[Callable[[UnboundStream], Element | None]]:
        return [self.feature]

    @hookimpl
    def stonechat_unbound_stream_elements(
        self,
    ) -> Mapping[tuple[str, str], Callable[[UnboundStream, Element], None]]:
        return {
            (NS_SASL2, "authenticate"): self.authenticate,
            (NS_SASL2, "response"): self.respond,
            (NS_SASL2, "abort"): self.abort,
            (NS_SASL2, "next"): self.begin_task,
            (NS_SASL2, "task-data"): self.go_on_with_task,
        }

    # What is offered

    def feature(self, stream: UnboundStream) -> Element | None:
        """`<authentication/>`; what it binds to the kernel says beside it (XEP-0440)."""
        mechanisms = stream.mechanisms
        if not mechanisms or not self.is_safe(stream):
            return None
        inline = [announcement for _, announcement in self.inline.offered(stream)]
        bindable = self.binder.offered(stream)
        hashes = self.upgrades.offered() if self.options.upgrades else ()
        # Most streams are offered the same, and to make it anew is a good part of a login.
        key = (mechanisms, bindable, hashes)
        made = self.made.get(key)
        if made is not None and made[0] == inline:
            return made[1]
        feature = Element(NS_SASL2, "authentication")
        for mechanism in mechanisms:
            feature.add("mechanism", mechanism)
        feature.add("inline").append(*inline, self.binder.announcement(bindable))
        feature.append(*self.upgrades.announcements(hashes))
        if len(self.made) >= MAX_MADE:
            self.made.clear()
        self.made[key] = inline, feature.freeze()
        return feature

    def is_safe(self, stream: UnboundStream) -> bool:
        return stream.is_secure or self.options.allow_without_tls

    # The authentication

    def authenticate(self, stream: UnboundStream, element: Element) -> None:
        if _LOGIN in stream.data or stream.is_authenticated:
            # "Multiple Authentication", and "During Authentication".
            raise StreamError("policy-violation", _OUT_OF_ORDER)
        if not self.is_safe(stream):
            stream.send(words.failure(SaslFailure("encryption-required", "Use TLS first.")))
            return
        if stream.claimed is not None and stream.claimed.domain != self.host.name:
            raise StreamError("invalid-from", "Accounts of that domain are not here.")
        hashes = self.upgrades.requested(element) if self.options.upgrades else []
        login = stream.data[_LOGIN] = Login(element, hashes)
        stream.data[LOGIN_REQUEST] = element
        stream.data[USER_AGENT] = words.read_user_agent(element)
        # Nothing else may come before the end of it ("During Authentication").
        stream.exclusive = NS_SASL2
        event = stream.authenticate(
            element.get("mechanism"), words.initial_response(element), provisional=bool(hashes)
        )
        self.answer(stream, login, event)

    def respond(self, stream: UnboundStream, element: Element) -> None:
        login = self.login_of(stream)
        if login.success is not None:
            raise StreamError("policy-violation", _OUT_OF_ORDER)
        self.answer(stream, login, stream.respond(words.response(element)))

    def abort(self, stream: UnboundStream, element: Element) -> None:
        self.answer(stream, self.login_of(stream), stream.abort())

    def login_of(self, stream: UnboundStream) -> Login:
        """The login under way; without one the stream ends."""
        login: Login | None = stream.data.get(_LOGIN)
        if login is None:
            raise StreamError("policy-violation", _OUT_OF_ORDER)
        return login

    def answer(self, stream: UnboundStream, login: Login, event: SaslEvent) -> None:
        """Tell the client what its element has led to."""
        if isinstance(event, SaslChallenge):
            stream.send(words.challenge(event.text))
        elif isinstance(event, SaslFailed):
            self.forget(stream)
            stream.data.pop(USER_AGENT, None)
            stream.send(words.failure(event.failure))
            if event.is_last:
                raise StreamError("policy-violation", "Too many failed logins.")
        else:
            login.success = event
            # Nothing waits where the client is not ready for any task.
            login.tasks = self.upgrades.tasks(event, login.hashes) if login.hashes else []
            if login.tasks:
                self.ask_for_task(stream, login, event)
            else:
                self.finish(stream, login, words.success(event))

    def forget(self, stream: UnboundStream) -> None:
        stream.exclusive = ""
        stream.data.pop(_LOGIN, None)
        stream.data.pop(LOGIN_REQUEST, None)

    # Tasks, between the mechanism's success and that of the login

    def ask_for_task(self, stream: UnboundStream, login: Login, event: SaslSuccess | None) -> None:
        task = login.tasks[0]
        text = f"Your account needs another hash of its password: SCRAM-{task.hash_name}."
        stream.send(words.continuation(event, task.name, text))

    def begin_task(self, stream: UnboundStream, element: Element) -> None:
        login = self.login_of(stream)
        task = self.task_at_hand(login)
        if task.is_begun or element.get("task") != task.name:
            self.refuse(stream, login, SaslFailure("malformed-request", _OUT_OF_ORDER))
        else:
            stream.send(task.begin())

    def go_on_with_task(self, stream: UnboundStream, element: Element) -> None:
        login = self.login_of(stream)
        task = self.task_at_hand(login)
        if not task.is_begun:
            self.refuse(stream, login, SaslFailure("malformed-request", _OUT_OF_ORDER))
            return
        try:
            task.finish(self.host, element)
        except SaslFailure as failure:
            self.refuse(stream, login, failure)
            return
        del login.tasks[0]
        if login.tasks:
            self.ask_for_task(stream, login, None)
        else:
            # What the mechanism had to say was in the first <continue/>.
            self.finish(stream, login, Element(NS_SASL2, "success"))

    def task_at_hand(self, login: Login) -> UpgradeTask:
        if not login.tasks:
            raise StreamError("policy-violation", _OUT_OF_ORDER)
        return login.tasks[0]

    def refuse(self, stream: UnboundStream, login: Login, failure: SaslFailure) -> None:
        self.answer(stream, login, stream.refuse(failure))

    # The end of it

    def finish(self, stream: UnboundStream, login: Login, success: Element) -> None:
        """The client is in: do what it asked for besides, and say so in `<success/>`."""
        if not stream.is_authenticated:
            stream.admit()
        self.forget(stream)
        answers = self.inline.handle(stream, login.request)
        jid: JID | None = stream.account
        assert jid is not None
        bind = login.request.find("bind", NS_BIND2)
        # Who goes on with an earlier session needs no other ("Performing the bind").
        if bind is not None and not stream.is_bound:
            bound_jid, answer = self.binder.bind(stream, bind)
            jid = bound_jid or jid
            answers.append(answer)
        success.add("authorization-identifier", jid.text)
        success.append(*answers)
        stream.send(success)
        stream.send_features()
