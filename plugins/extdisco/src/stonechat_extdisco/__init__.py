"""External Service Discovery (XEP-0215): STUN and TURN servers, and credentials for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Self, cast

import gevent
from pydantic import model_validator

from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.iq import IqHandler
from stonechat.jid import JID
from stonechat.options import PluginOptions, option
from stonechat.plugin import hookimpl
from stonechat.session import Session
from stonechat.stanza import Element, Iq, new_id
from stonechat_extdisco.services import NS_EXTDISCO, ExternalService, changes, plain_host

# What a session has asked for is remembered under this name: services by their type.
ASKED = "extdisco"

# Types that one session can ask to hear of.
MAX_ASKED = 10
MAX_TYPE_LENGTH = 63

# Others have their turn after so many.
_IN_A_ROW = 64


class Options(PluginOptions):
    services: tuple[ExternalService, ...] = option((), "The services that clients are told of.")
    access: str = option(
        "local",
        "Who is told of them: `local` for the accounts of the host, `open` for everybody, or"
        " the name of an access rule.",
    )

    @model_validator(mode="after")
    def _tell_services_apart(self) -> Self:
        for key, count in Counter(service.key for service in self.services).items():
            if count > 1:
                raise ValueError(f"{key.type} at {key.host} is there twice")
        return self


class Plugin:
    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options

    def ready(self) -> None:
        # After a reload: who has asked before is told what is different now.
        self.host.spawn(self.push_all)

    @hookimpl
    def stonechat_disco_features(self) -> Sequence[str]:
        return [NS_EXTDISCO]

    @hookimpl
    def stonechat_iq_handlers(self) -> Mapping[tuple[str, str], IqHandler]:
        return {("get", NS_EXTDISCO): self.answer}

    # Requests

    def answer(self, iq: Iq) -> Element:
        user = cast(JID, iq.from_)
        request = cast(Element, iq.payload)
        if not self.may_ask(user):
            raise StanzaError("forbidden")
        if request.name == "services":
            return self.list_services(user, request)
        if request.name == "credentials":
            return self.give_credentials(user, request)
        raise StanzaError("bad-request", "There is no such request.")

    def may_ask(self, jid: JID) -> bool:
        rule = self.options.access
        if rule == "local":
            return jid.domain == self.host.name and bool(jid.localpart)
        if rule == "open":
            return True
        return self.host.allows(rule, jid)

    def list_services(self, user: JID, request: Element) -> Element:
        answer = Element(NS_EXTDISCO, "services")
        found = self.options.services
        if type := request.get("type"):
            answer.set("type", type)
            found = self.of_type(type)
            self.remember(user, type, found)
        now = self.host.now()
        answer.append(*(service.to_element(user, now) for service in found))
        return answer

    def give_credentials(self, user: JID, request: Element) -> Element:
        wanted = list(request.find_all("service"))
        if len(wanted) != 1:
            raise StanzaError("bad-request", "Credentials are for one service.")
        found = [service for service in self.matching(wanted[0]) if service.has_credentials]
        if not found:
            raise StanzaError("item-not-found")
        answer = Element(NS_EXTDISCO, "credentials")
        now = self.host.now()
        answer.append(*(service.to_element(user, now, asked=True) for service in found))
        return answer

    def of_type(self, type: str) -> tuple[ExternalService, ...]:
        return tuple(service for service in self.options.services if service.type == type)

    def matching(self, wanted: Element) -> Sequence[ExternalService]:
        type, port, transport = map(wanted.get, ("type", "port", "transport"))
        if not type or not wanted.get("host"):
            raise StanzaError("bad-request", "A service is named by its host and its type.")
        if port and not (port.isascii() and port.isdigit() and len(port) <= 5):
            raise StanzaError("bad-request", "A port is a number.")
        try:
            host = plain_host(wanted.get("host"))
        except ValueError:
            return ()  # not a name that one of ours can have
        return [
            service
            for service in self.of_type(type)
            if service.host == host
            and (not port or service.port == int(port))
            and transport in ("", service.transport)
        ]

    # Pushes

    def remember(self, user: JID, type: str, found: tuple[ExternalService, ...]) -> None:
        """What a session was told of a type, to tell it what is different later."""
        session = self.host.session(user)
        if session is None or len(type) > MAX_TYPE_LENGTH:
            return
        asked = session.data.setdefault(ASKED, {})
        if type in asked or len(asked) < MAX_ASKED:
            asked[type] = found

    def push_all(self) -> None:
        for number, session in enumerate(list(self.host.all_sessions()), 1):
            if ASKED in session.data and self.may_ask(session.jid):
                self.push(session)
            if number % _IN_A_ROW == 0:
                gevent.sleep(0)

    def push(self, session: Session) -> None:
        asked: dict[str, tuple[ExternalService, ...]] = session.data[ASKED]
        now = self.host.now()

        def write(service: ExternalService, action: str) -> Element:
            return service.to_element(session.jid, now, action=action)

        for type, before in asked.items():
            asked[type] = after = self.of_type(type)
            news = list(changes(before, after, write))
            if news:
                payload = Element(NS_EXTDISCO, "services", {"type": type}, *news)
                # Whether the client likes it makes no difference: its answer is dropped.
                session.send(
                    Iq(payload, to=session.jid, from_=self.host.jid, type="set", id=new_id())
                )
