"""Ad-Hoc Commands (XEP-0050, XEP-0133): the server's commands, from within a client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stonechat import hookimpl
from stonechat.commands import CommandError
from stonechat.errors import StanzaError
from stonechat.forms import Form
from stonechat.host import Host
from stonechat.iq import IGNORE, Ignore, IqHandler, parallel
from stonechat.jid import JID
from stonechat.namespaces import NS_DATA_FORM
from stonechat.options import Duration, PluginOptions, option
from stonechat.stanza import Element, Iq, error_element
from stonechat_adhoc.catalogue import Catalogue
from stonechat_adhoc.dialogues import AdHocCommand, Dialogue, Dialogues
from stonechat_adhoc.words import NS_COMMANDS, Note, Outcome, Request, answer, specific

NS_INFO = "http://jabber.org/protocol/disco#info"
NS_ITEMS = "http://jabber.org/protocol/disco#items"


class Options(PluginOptions):
    sessions_per_user: int = option(
        10, "Commands that one account may have under way; of more, the oldest ends.", ge=1, le=100
    )
    session_timeout: Duration = option(
        "10 min", "A command that nobody goes on with for so long ends.", ge=1, le=86_400
    )
    rows_per_page: int = option(
        100,
        "Lines of a result that are shown at once; for the rest there is a next page.",
        ge=1,
        le=1000,
    )
    idle_after: Duration = option(
        "10 min",
        "Users who have sent nothing for so long are idle in the lists of XEP-0133.",
        gt=0,
    )
    max_list: int = option(
        1000, "Addresses in one list of XEP-0133, however many are asked for.", ge=1, le=100_000
    )


class Plugin:
    """The face of the command registry to clients."""

    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.dialogues = Dialogues(host, options.sessions_per_user, options.session_timeout)
        self.catalogue = Catalogue(
            host,
            rows=options.rows_per_page,
            idle_seconds=options.idle_after,
            max_list=options.max_list,
        )

    # What is offered

    @hookimpl
    def stonechat_disco_features(self) -> Sequence[str]:
        return [NS_COMMANDS]

    @hookimpl
    def stonechat_account_disco_features(self) -> Sequence[str]:
        return [NS_COMMANDS]

    @hookimpl
    def stonechat_iq_handlers(self) -> Mapping[tuple[str, str], IqHandler]:
        return {("set", NS_COMMANDS): self.handle}

    @hookimpl
    def stonechat_account_iq_handlers(self) -> Mapping[tuple[str, str], IqHandler]:
        return {("set", NS_COMMANDS): self.handle_own}

    @hookimpl
    def stonechat_disco_node_info(self, iq: Iq, node: str) -> Element | None:
        caller, responder = _parties(iq)
        if not self.answers_for(responder, caller):
            return None
        if node == NS_COMMANDS:
            return _info(node, "command-list", "Commands", ())
        try:
            command = self.catalogue.find(node, caller)
        except StanzaError as error:
            # "If the command is not available to the requester": forbidden. The other
            # nodes are another's, or nobody's.
            if error.condition == "forbidden":
                raise
            return None
        return _info(node, "command-node", command.name, (NS_DATA_FORM,))

    @hookimpl
    def stonechat_disco_node_items(self, iq: Iq, node: str) -> Element | None:
        caller, responder = _parties(iq)
        if not self.answers_for(responder, caller):
            return None
        query = Element(NS_ITEMS, "query", {"node": node})
        if node == NS_COMMANDS:
            for command in self.catalogue.offered(caller):
                query.add("item", jid=responder.text, node=command.node, name=command.name)
            return query
        try:
            self.catalogue.find(node, caller)
        except StanzaError as error:
            if error.condition == "forbidden":
                raise
            return None
        return query

    # Commands

    # Some take their time, and whoever gave one may go on meanwhile.
    @parallel
    def handle_own(self, iq: Iq) -> Element | Ignore:
        caller, responder = _parties(iq)
        if not self.answers_for(responder, caller):
            # As for an account that does not exist (RFC 6121, 8.5.1).
            raise StanzaError("service-unavailable")
        return self.handle(iq)

    @parallel
    def handle(self, iq: Iq) -> Element | Ignore:
        try:
            return self.answer(iq)
        except StanzaError as error:
            if error.condition == "forbidden":
                # "Possible Errors"; RFC 6120 has it of type auth.
                error.type = "cancel"
            # Not as the kernel answers, which sends back what was asked: there may be a
            # password in it.
            self.host.route(_refusal(iq, error))
            return IGNORE

    def answer(self, iq: Iq) -> Element:
        caller, responder = _parties(iq)
        request = Request.read(iq)
        if request.session is None:
            return self.begin(request, caller, responder)
        dialogue = self.dialogues.find(request.session, caller, responder, request.node)
        if dialogue.is_busy:
            raise StanzaError("unexpected-request", "This is being carried out.", type="wait")
        # Once more: the rules may have changed since it was begun.
        self.catalogue.find(request.node, caller)
        return self.go_on(dialogue, request)

    def answers_for(self, responder: JID, caller: JID) -> bool:
        """An account has commands for its own user only."""
        return not responder.localpart or responder == caller.bare

    def begin(self, request: Request, caller: JID, responder: JID) -> Element:
        command = self.catalogue.find(request.node, caller)
        if request.action != "execute":
            raise specific("bad-action", "Nothing is under way yet.")
        id_ = self.dialogues.new_id(caller, responder, request.node)
        try:
            form = command.form(caller)
            if form is None:
                outcome = command.run(caller, Form("submit"))
                return self.show(id_, caller, responder, command, outcome)
        except CommandError as error:
            return _failed(request.node, id_, error)
        dialogue = self.dialogues.open(id_, caller, responder, command)
        return _executing(dialogue, form.to_element())

    def go_on(self, dialogue: Dialogue, request: Request) -> Element:
        action = dialogue.default if request.action == "execute" else request.action
        if action == "cancel":
            self.dialogues.close(dialogue)
            return answer(request.node, dialogue.id, "canceled")
        if action not in dialogue.actions:
            raise specific("bad-action", "This cannot be done now.")
        if not dialogue.pages:
            return self.complete(dialogue, request)
        if action == "complete":
            self.dialogues.close(dialogue)
            return answer(request.node, dialogue.id, "completed")
        dialogue.page += 1 if action == "next" else -1
        self.dialogues.touch(dialogue)
        return _executing(dialogue, *dialogue.pages[dialogue.page])

    def complete(self, dialogue: Dialogue, request: Request) -> Element:
        """Carry out what was filled in; what cannot be read may be sent once more."""
        answers = _answers(request, dialogue.command)
        dialogue.is_busy = True
        is_over = True
        try:
            outcome = dialogue.command.run(dialogue.caller, answers)
        except CommandError as error:
            return _failed(request.node, dialogue.id, error)
        except StanzaError as error:
            mended = _as_bad_payload(error)
            is_over = mended is None
            raise mended or error from None
        finally:
            dialogue.is_busy = False
            if is_over:
                self.dialogues.close(dialogue)
            else:
                self.dialogues.touch(dialogue)
        return self.show(
            dialogue.id, dialogue.caller, dialogue.responder, dialogue.command, outcome
        )

    def show(
        self, id_: str, caller: JID, responder: JID, command: AdHocCommand, outcome: Outcome
    ) -> Element:
        """The result: at once, or its first page if it has more."""
        if len(outcome.pages) > 1:
            dialogue = self.dialogues.open(id_, caller, responder, command)
            dialogue.pages = outcome.pages
            return _executing(dialogue, *outcome.pages[0], notes=outcome.notes)
        payload = outcome.pages[0] if outcome.pages else ()
        return answer(command.node, id_, "completed", *payload, notes=outcome.notes)


def _parties(iq: Iq) -> tuple[JID, JID]:
    """Who asks, and who is asked; an account where nobody is named (RFC 6120, 10.3.3)."""
    assert iq.from_ is not None
    return iq.from_, iq.to or iq.from_.bare


def _refusal(iq: Iq, error: StanzaError) -> Iq:
    """An error with the `<command/>` that it is about, but without what is inside."""
    caller, responder = _parties(iq)
    asked = iq.payload
    command = Element(NS_COMMANDS, "command", asked.attributes if asked is not None else None)
    return Iq(command, error_element(error), to=caller, from_=responder, type="error", id=iq.id)


def _info(node: str, type: str, name: str, features: Sequence[str]) -> Element:
    query = Element(NS_INFO, "query", {"node": node})
    query.add("identity", category="automation", type=type, name=name)
    for feature in (NS_COMMANDS, *features):
        query.add("feature", var=feature)
    return query


def _executing(dialogue: Dialogue, *payload: Element, notes: Sequence[Note] = ()) -> Element:
    return answer(
        dialogue.command.node,
        dialogue.id,
        "executing",
        *payload,
        notes=notes,
        actions=dialogue.actions,
        default=dialogue.default,
    )


def _failed(node: str, id_: str, error: CommandError) -> Element:
    """ "If a command completes but fails", it says so ("Commands Successful/Failed")."""
    return answer(node, id_, "completed", notes=(Note(str(error), "error"),))


def _answers(request: Request, command: AdHocCommand) -> Form:
    """What was filled in."""
    if request.form is None:
        raise specific("bad-payload", "The form is missing.")
    try:
        form = Form.read(request.form, form_type=command.form_type)
    except StanzaError as error:
        raise specific("bad-payload", error.text) from None
    # "Responders SHOULD consider any <x type='cancel'/> to be <x type='submit'/>."
    if form.type not in ("submit", "cancel"):
        raise specific("bad-payload", "The form is not filled in.")
    return form


def _as_bad_payload(error: StanzaError) -> StanzaError | None:
    """The error, if it says that something was filled in wrongly, as XEP-0050 says it."""
    if error.condition not in ("bad-request", "not-acceptable"):
        return None
    return error if error.application is not None else specific("bad-payload", error.text)
