"""Any administrative command as an ad-hoc command: its parameters are the form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stonechat.auth import Secret
from stonechat.commands import ALL_HOSTS, Command, CommandError, Parameter, Text
from stonechat.forms import Field, Form
from stonechat.host import Host
from stonechat.jid import JID
from stonechat_adhoc.results import label_of, outcome_of
from stonechat_adhoc.words import Outcome, specific

PREFIX = "stonechat:"
"""What the node of a command begins with that no protocol has given one."""

_FIELD_TYPES = {
    bool: "boolean",
    JID: "jid-single",
    Secret: "text-private",
    Text: "text-multi",
}


def node_of(command: Command) -> str:
    """Where a command is found."""
    return command.adhoc_node or PREFIX + command.name


class RegistryCommand:
    """A command of the registry, at a host."""

    def __init__(self, host: Host, command: Command, rows: int) -> None:
        self._host = host
        self._command = command
        self._rows = rows
        self.node = node_of(command)
        self.name = command.sentence.removesuffix(".")
        # XEP-0068: "http://jabber.org/protocol/admin#announce" is one of the former.
        self.form_type, _, _ = command.adhoc_node.rpartition("#")

    def form(self, caller: JID) -> Form | None:
        """One field for each parameter."""
        if not self._command.parameters:
            return None
        help_ = self._command.help or "Fill out this form."
        fields = [self._field(parameter) for parameter in self._command.parameters]
        return Form("form", self.form_type, self.name, help_, fields)

    def run(self, caller: JID, answers: Form) -> Outcome:
        """Carry it out for the caller, by the rules for all faces."""
        arguments = dict(self._arguments(answers))
        try:
            self._command.read(arguments)
        except CommandError as error:
            raise specific("bad-payload", str(error)) from None
        result = self._host.run_command(self._command.name, caller, **arguments)
        return outcome_of(result, self.name, rows=self._rows, form_type=self.form_type)

    def _field(self, parameter: Parameter) -> Field:
        default = "" if parameter.is_required else parameter.default
        desc = ""
        if parameter.name == "host":
            default = default or self._host.name
            desc = f"A host of this server; {ALL_HOSTS} is all that have this command."
        if isinstance(default, bool):
            default = "true" if default else "false"
        elif isinstance(default, Secret):
            default = ""
        return Field(
            parameter.name,
            _FIELD_TYPES.get(parameter.type, "text-single"),
            label_of(parameter.name),
            () if default in ("", None) else (str(default),),
            required=parameter.is_required,
            desc=desc,
            datatype="xs:integer" if parameter.type is int else "",
        )

    def _arguments(self, answers: Form) -> Iterator[tuple[str, Any]]:
        """What was filled in; what was left empty has its default."""
        for parameter in self._command.parameters:
            values = answers.values(parameter.name)
            if parameter.type is bool:
                # Read here, for a form says 1 and 0, too.
                yield parameter.name, _boolean(answers, parameter)
                continue
            if parameter.type is not Text and len(values) > 1:
                raise specific("bad-payload", f"{parameter.name} has one value.")
            value = "\n".join(values)
            if parameter.type is not Secret and parameter.type is not Text:
                value = value.strip()
            if value.strip():
                yield parameter.name, value
            elif parameter.is_required:
                raise specific("bad-payload", f"{parameter.name} is required.")


def _boolean(answers: Form, parameter: Parameter) -> bool:
    default = False if parameter.is_required else bool(parameter.default)
    return answers.boolean(parameter.name, default)
