"""Reads portable files (XEP-0227), and those that they include, a little at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stonechat.auth import Credentials
from stonechat.errors import XMLError
from stonechat.portable import NS_PIE, PART_BYTES, PART_CHILDREN
from stonechat.shell import ShellError
from stonechat.stanza import Element
from stonechat.xml import Closed, Opened, read_document
from stonechat_migrate.pie import (
    LARGE,
    NS_XINCLUDE,
    Begun,
    Lost,
    Part,
    is_credentials,
    read_credentials,
    read_password,
)

_LEVELS = (f"{NS_PIE} server-data", f"{NS_PIE} host", f"{NS_PIE} user")
_INCLUDE = f"{NS_XINCLUDE} include"

# A main file includes hosts, these users, and these what they have.
MAX_INCLUSIONS = 8

_Event = Opened | Closed | Element | Lost


def read_pie(path: Path) -> Iterator[Part]:
    """The accounts in a file; ShellError where it is no such file."""
    return _Accounts(_read(path, path.resolve().parent, (), 0)).parts()


def main_file(directory: Path) -> Path:
    """The file of a directory that includes all others; ShellError."""
    candidates = [
        path
        for path in sorted(directory.glob("*.xml"))
        if b"server-data" in path.open("rb").read(4096)
    ]
    if len(candidates) != 1:
        raise ShellError(f"{directory}: there is no single file *.xml with <server-data/>")
    return candidates[0]


def _read(path: Path, root: Path, outside: tuple[str, ...], depth: int) -> Iterator[_Event]:
    """The parts of a file, in which those of included files have taken their places."""

    def is_container(inside: tuple[str, ...]) -> bool:
        place = outside + inside
        level = len(place)
        if level <= len(_LEVELS):
            return place == _LEVELS[:level]
        return level == len(_LEVELS) + 1 and place[:-1] == _LEVELS and place[-1] in LARGE

    place = list(outside)
    try:
        with path.open("rb") as file:
            for part in read_document(file, is_container):
                if isinstance(part, Opened):
                    place.append(part.element.qualified_name)
                elif isinstance(part, Closed):
                    place.pop()
                # "An importing server SHOULD NOT process <include/> elements which are
                # descendants, but not children of the <user/> element".
                elif part.qualified_name == _INCLUDE and len(place) <= len(_LEVELS):
                    yield from _included(part, path, root, tuple(place), depth)
                    continue
                yield part
    except OSError as error:
        raise ShellError(f"{path}: {error.strerror}") from error
    except XMLError as error:
        raise ShellError(f"{path}: {error}") from error


def _included(
    include: Element, path: Path, root: Path, place: tuple[str, ...], depth: int
) -> Iterator[_Event]:
    uri = urlsplit(include.get("href"))
    if "parse" in include.attributes or "xpointer" in include.attributes:
        yield Lost("an <include/> with `parse` or `xpointer`, of which nothing is known")
        return
    if uri.scheme or uri.netloc or uri.query or uri.fragment or not uri.path:
        yield Lost("an <include/> of what is no file beside this one")
        return
    target = (path.parent / unquote(uri.path)).resolve()
    if not target.is_relative_to(root):
        # Whoever has written the file need not be the one who reads it.
        yield Lost("an <include/> of a file outside the directory of the first one")
        return
    if depth == MAX_INCLUSIONS:
        raise ShellError(f"{path}: files include each other in circles")
    yield from _read(target, root, place, depth + 1)


class _Accounts:
    """Puts the events of files together: an account with its credentials, and what it has."""

    def __init__(self, events: Iterable[_Event]) -> None:
        self._events = events
        self._host = ""
        self._user: Element | None = None
        self._credentials: list[Element] = []
        self._is_begun = False
        self._wrapper: Element | None = None
        self._children: list[Element] = []
        self._size = 0

    def parts(self) -> Iterator[Part]:
        is_any = False
        for event in self._events:
            if isinstance(event, Opened):
                is_any = True
                yield from self._opened(event.element)
            elif isinstance(event, Closed):
                yield from self._closed(event.element)
            elif isinstance(event, Lost):
                yield event
            elif self._wrapper is not None:
                yield from self._child(event)
            elif self._user is not None:
                yield from self._whole(event)
            else:
                yield Lost(f"<{event.name} xmlns='{event.namespace}'/> outside of accounts")
        if not is_any:
            raise ShellError("this is no file of XEP-0227: it has no <server-data/>")

    def _opened(self, element: Element) -> Iterator[Part]:
        if self._user is not None:
            yield from self._begin()
            self._wrapper = element
        elif element.name == "host":
            self._host = element.get("jid")
        elif element.name == "user":
            self._user = element
            self._credentials, self._is_begun = [], False

    def _closed(self, element: Element) -> Iterator[Part]:
        if self._wrapper is not None:
            yield from self._flush()
            self._wrapper = None
        elif element.name == "user" and self._user is not None:
            yield from self._begin()
            self._user = None

    def _whole(self, element: Element) -> Iterator[Part]:
        # They come first, in all files that were seen; those behind other data are too late.
        if not is_credentials(element):
            yield from self._begin()
            yield element
        elif self._is_begun:
            yield Lost("credentials behind other data of the account")
        else:
            self._credentials.append(element)

    def _begin(self) -> Iterator[Part]:
        """The account, once all its credentials are known."""
        assert self._user is not None
        if self._is_begun:
            return
        self._is_begun = True
        lost = []
        scram = []
        for element in self._credentials:
            try:
                scram.append(read_credentials(element))
            except ValueError as error:
                lost.append(Lost(str(error)))
        given = read_password(self._user.get("password"))
        credentials = Credentials(given.password, (*scram, *given.scram))
        yield Begun(self._host, self._user.get("name"), credentials)
        yield from lost

    def _child(self, child: Element) -> Iterator[Part]:
        octets = len(child.to_bytes())
        if len(self._children) >= PART_CHILDREN or self._size + octets > PART_BYTES:
            yield from self._flush()
        self._children.append(child)
        self._size += octets

    def _flush(self) -> Iterator[Part]:
        wrapper, children = self._wrapper, self._children
        assert wrapper is not None
        self._children, self._size = [], 0
        if children:
            yield Element(wrapper.namespace, wrapper.name, wrapper.attributes, *children)
