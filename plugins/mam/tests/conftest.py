"""How tests ask an archive, and read what comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from stonechat import testing, timestamps
from stonechat.forms import Field, Form
from stonechat.namespaces import NS_DELAY, NS_FORWARD, NS_RSM
from stonechat.stanza import Message
from stonechat.xml import Element

NS_MAM = "urn:xmpp:mam:2"


class Result(NamedTuple):
    """One archived message, as it came."""

    id: str
    stamp: int
    message: Element
    wrapper: Message
    query_id: str

    @property
    def body(self) -> str:
        return self.message.find_text("body", "jabber:client")


class Answer(NamedTuple):
    """A page: its messages in the order they came, and its end."""

    results: list[Result]
    fin: Element

    @property
    def bodies(self) -> list[str]:
        return [result.body for result in self.results]

    @property
    def ids(self) -> list[str]:
        return [result.id for result in self.results]

    @property
    def is_complete(self) -> bool:
        return self.fin.get("complete") == "true"

    def of_set(self, name: str) -> str | None:
        """What the `<set/>` says: first, last, count."""
        element = self.fin.find("set", NS_RSM).find(name)
        return None if element is None else element.text

    @property
    def index(self) -> str:
        return self.fin.find("set", NS_RSM).find("first").get("index")


def query(
    *,
    queryid: str = "f27",
    flip: bool = False,
    rsm: dict[str, Any] | None = None,
    **fields: Any,
) -> Element:
    """A `<query/>`: `rsm` as names and texts, fields with `_` for `-`."""
    element = Element(NS_MAM, "query", {"queryid": queryid} if queryid else {})
    if fields:
        written = []
        for name, value in fields.items():
            values = value if isinstance(value, list | tuple) else [value]
            var = {"with_": "with", "fulltext": "{urn:xmpp:fulltext:0}fulltext"}.get(
                name, name.replace("_", "-")
            )
            written.append(Field(var, values=[str(value) for value in values]))
        element.append(Form("submit", NS_MAM, fields=written).to_element())
    if rsm is not None:
        page = element.add("set", namespace=NS_RSM)
        for name, value in rsm.items():
            page.add(name, str(value))
    if flip:
        element.add("flip-page")
    return element


def result_of(message: Message) -> Result:
    outer = message.find(NS_MAM, "result")
    forwarded = outer.find("forwarded", NS_FORWARD)
    delay = forwarded.find("delay", NS_DELAY)
    inner = forwarded.find("message", "jabber:client")
    stamp = timestamps.read(delay.get("stamp"))
    return Result(outer.get("id"), stamp, inner, message, outer.get("queryid"))


@pytest.fixture
def ask() -> Callable[..., Answer]:
    """Ask a client's own archive; what else had come to the client is dropped."""

    def asking(client: Any, to: Any = None, **how: Any) -> Answer:
        client.received()
        reply = client.set(query(**how), to)
        messages = [stanza for stanza in client.received() if isinstance(stanza, Message)]
        fin = reply.payload
        assert fin.qualified_name == f"{NS_MAM} fin"
        return Answer([result_of(message) for message in messages], fin)

    return asking


@pytest.fixture
def until() -> Callable[[Callable[[], Any], str], Any]:
    """Wait for something that happens by itself."""
    return testing.until


@pytest.fixture
def capulet(server: Any) -> Any:
    """A host with an archive and nothing else."""
    return server.host("capulet.example", mam={})


@pytest.fixture
def juliet(capulet: Any) -> Any:
    juliet = capulet.connect("juliet@capulet.example/balcony")
    juliet.available()
    juliet.received()
    return juliet


@pytest.fixture
def romeo(capulet: Any) -> Any:
    romeo = capulet.connect("romeo@capulet.example/orchard")
    romeo.available()
    romeo.received()
    return romeo
