"""The element: what stanzas, payloads and features are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableSequence
from functools import lru_cache

from stonechat.namespaces import NS_XML

XML_LANG = f"{NS_XML} lang"
"""The qualified name of the attribute `xml:lang`."""


def qualified_name(namespace: str, name: str) -> str:
    """`"namespace name"`, or the name alone where there is no namespace."""
    return f"{namespace} {name}" if namespace else name


# The same few names come again and again: quicker so, and elements share the texts.
@lru_cache(256)
def split_name(qualified: str) -> tuple[str, str]:
    """The namespace (or `""`) and the local name of a qualified name."""
    namespace, _, name = qualified.rpartition(" ")
    return _shared(namespace), name


@lru_cache(256)
def _shared(namespace: str) -> str:
    """A namespace as it was first seen: one text for all the names in it."""
    return namespace


class Element:
    """One XML element: a namespace, a name, attributes, and children in order.

    Children are elements and strings. `attributes` maps qualified names to
    values. An element that came out of a received stanza is frozen, because
    every hook sees the same one: to change it, take a `copy()`, or use the
    stanza's own `edit()`. `freeze()` makes one that many answers can share.
    """

    __slots__ = ("_attributes", "_written", "children", "name", "namespace")

    # Names and values in turn where the element came in and nobody has asked for them: a
    # third of what a dict takes.
    _attributes: dict[str, str] | tuple[str, ...]

    # What `serialize` keeps of an element frozen by hand; None for any other.
    _written: str | None

    def __init__(
        self,
        namespace: str,
        name: str,
        attributes: Mapping[str, str] | None = None,
        *children: Element | str,
    ) -> None:
        self.namespace = namespace
        self.name = name
        self._attributes = dict(attributes) if attributes else {}
        self.children: MutableSequence[Element | str] = list(children)
        self._written = None

    # Reading

    @property
    def attributes(self) -> dict[str, str]:
        """The values by qualified name."""
        attributes = self._attributes
        if isinstance(attributes, tuple):
            names, values = attributes[::2], attributes[1::2]
            attributes = self._attributes = dict(zip(names, values, strict=True))
        return attributes

    @attributes.setter
    def attributes(self, attributes: dict[str, str]) -> None:
        self._attributes = attributes

    @property
    def qualified_name(self) -> str:
        return qualified_name(self.namespace, self.name)

    @property
    def is_frozen(self) -> bool:
        """Whether changing this element is refused."""
        return isinstance(self.children, tuple)

    @property
    def text(self) -> str:
        """All character data directly inside this element."""
        return "".join([child for child in self.children if isinstance(child, str)])

    @property
    def lang(self) -> str:
        """`xml:lang` of this very element, or `""`."""
        return self.attributes.get(XML_LANG, "")

    @property
    def elements(self) -> list[Element]:
        """The children that are elements, in order."""
        return [child for child in self.children if not isinstance(child, str)]

    def get(self, attribute: str, default: str = "") -> str:
        """The value of an attribute by its qualified name, or the default."""
        return self.attributes.get(attribute, default)

    def find(self, name: str, namespace: str | None = None) -> Element | None:
        """The first child element of that name; in this element's namespace unless told."""
        for child in self.find_all(name, namespace):
            return child
        return None

    def find_all(self, name: str, namespace: str | None = None) -> Iterator[Element]:
        """The child elements of that name; in this element's namespace unless told."""
        wanted = self.namespace if namespace is None else namespace
        for child in self.children:
            if not isinstance(child, str) and child.name == name and child.namespace == wanted:
                yield child

    def find_text(self, name: str, namespace: str | None = None, default: str = "") -> str:
        """The text of the first child of that name, or the default if there is none."""
        child = self.find(name, namespace)
        return default if child is None else child.text

    def first(self) -> Element | None:
        """The first child that is an element."""
        for child in self.children:
            if not isinstance(child, str):
                return child
        return None

    # Changing

    def set(self, attribute: str, value: str | None) -> None:
        """Give an attribute a value, or take it away with None."""
        self._must_be_mine()
        if value is None:
            self.attributes.pop(attribute, None)
        else:
            self.attributes[attribute] = value

    def add(
        self, name: str, /, text: str = "", *, namespace: str | None = None, **attributes: str
    ) -> Element:
        """Append a new child element and return it; in this element's namespace unless told."""
        self._must_be_mine()
        child = Element(self.namespace if namespace is None else namespace, name, attributes)
        if text:
            child.children.append(text)
        self.children.append(child)
        return child

    def append(self, *children: Element | str) -> None:
        """Append children as they are; a frozen element may be shared so."""
        self._must_be_mine()
        self.children.extend(children)

    def remove(self, child: Element) -> None:
        """Take one child element away; ValueError if it is not one of the children."""
        self._must_be_mine()
        for index, candidate in enumerate(self.children):
            if candidate is child:
                del self.children[index]
                return
        raise ValueError(f"<{child.name}/> is not a child of <{self.name}/>")

    def freeze(self) -> Element:
        """Allow no more changes, here and below, and write it out only once; returns itself.

        For a payload that is the same in every answer.
        """
        for child in self.elements:
            child.freeze()
        self.children = tuple(self.children)  # type: ignore[assignment]
        self._written = ""
        return self

    def copy(self) -> Element:
        """A deep copy that may be changed."""
        twin = Element(self.namespace, self.name)
        attributes = self._attributes
        twin._attributes = attributes if isinstance(attributes, tuple) else attributes.copy()
        twin.children = [
            child if isinstance(child, str) else child.copy() for child in self.children
        ]
        return twin

    def _must_be_mine(self) -> None:
        if self.is_frozen:
            raise TypeError(
                f"<{self.name}/> is part of a received stanza and shared by all hooks:"
                " change a copy(), or the tree that the stanza's edit() returns"
            )

    # Comparing and showing

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Element):
            return NotImplemented
        return (
            self.name == other.name
            and self.namespace == other.namespace
            and self.attributes == other.attributes
            and len(self.children) == len(other.children)
            and all(a == b for a, b in zip(self.children, other.children, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]

    def to_bytes(self, default_namespace: str = "") -> bytes:
        """This element as UTF-8, without declaring the namespace that is in force already."""
        from stonechat.xml.writer import serialize

        return serialize(self, default_namespace)

    def __str__(self) -> str:
        return self.to_bytes().decode()

    def __repr__(self) -> str:
        return f"<Element {self.qualified_name!r} with {len(self.children)} children>"
