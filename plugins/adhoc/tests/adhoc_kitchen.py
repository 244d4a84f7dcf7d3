"""Commands of every kind, and how a client gives them."""

from stonechat.commands import CommandError, Secret, Text, command
from stonechat.errors import StorageError
from stonechat.forms import Field, Form
from stonechat.stanza import Element
from stonechat.testing.client import error_of

COMMANDS = "http://jabber.org/protocol/commands"
INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
DATA = "jabber:x:data"

HOST = "capulet.example"
NURSE = "nurse@capulet.example"
SILENCE, NO_SECRET = Text(), Secret("")


class Kitchen:
    """Commands of every kind."""

    def __init__(self, host, options) -> None:
        self.host = host

    @command("cook", "Cook a meal.", example="cook soup")
    def cook(
        self,
        dish: str,
        guests: int = 4,
        spicy: bool = False,
        quick: bool = True,
        recipe: Text = SILENCE,
        key: Secret = NO_SECRET,
    ) -> dict:
        """Everybody likes soup."""
        match dish:
            case "poison":
                raise CommandError("nobody would eat it")
            case "fire":
                raise RuntimeError("the kitchen burns")
            case "famine":
                raise StorageError("the larder is locked")
        return {
            "dish": dish,
            "guests": guests,
            "spicy": spicy,
            "quick": quick,
            "recipe": recipe,
            "key": key.reveal(),
        }

    @command("serve", "Carry it in.")
    def serve(self) -> str:
        return "it is served"

    @command("lay", "Lay the table.", adhoc_node="http://capulet.example/table#lay")
    def lay(self, plates: int) -> None:
        if plates > 12:
            raise CommandError("there are 12")

    @command("guests", "List the guests.")
    def guests(self) -> list:
        return [{"name": f"guest {n}", "seats": n, "tags": ["a", "b"]} for n in range(7)]

    @command("menu", "Read the menu.")
    def menu(self) -> str:
        return "soup\nfish\ncake\n"

    @command("count", "Count the plates.")
    def count(self) -> int:
        return 12

    @command("empty", "List nothing.")
    def empty(self) -> list:
        return []

    @command("state", "Tell how it is.")
    def state(self) -> dict:
        return {"fire": True, "cooks": [{"name": "Peter"}], "more": {"salt": None}, "odd": "a\x01"}


def asked(node, action="", session=None, form=None, **attributes) -> Element:
    element = Element(COMMANDS, "command", {"node": node, **attributes})
    if action:
        element.set("action", action)
    if session is not None:
        element.set("sessionid", session)
    if form is not None:
        element.append(form)
    return element


def filled(form_type="", type="submit", **values) -> Element:
    fields = [Field(var, values=value) for var, value in values.items()]
    return Form(type, form_type, fields=fields).to_element()


def do(client, node, action="", session=None, form=None, to=HOST, **attributes) -> Element:
    """What a command is answered with."""
    return client.set(asked(node, action, session, form, **attributes), to=to).payload


def refused(client, element, to=HOST) -> tuple[str, str, str]:
    """The type, the condition and the XEP's own condition of an error."""
    error = error_of(client.request("set", element, to=to))
    own = error.application
    assert own is None or own.namespace == COMMANDS
    return error.type, error.condition, "" if own is None else own.name


def shown(answer) -> dict[str, list[str]]:
    """The fields of a form."""
    form = Form.read(answer.find("x", DATA))
    return {field.var: list(field.values) for field in form.fields}


def notes(answer) -> list[tuple[str, str]]:
    return [(note.get("type"), note.text) for note in answer.find_all("note")]


def actions(answer) -> tuple[str, list[str]]:
    found = answer.find("actions")
    return found.get("execute"), [action.name for action in found.elements]


BAD = ("modify", "bad-request")
