"""Writes portable files (XEP-0227): one for all, or one for each account.

They are for their owner's eyes only ("Security Considerations").
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote

from stonechat.portable import NS_PIE
from stonechat.shell import ShellError
from stonechat.stanza import Element
from stonechat.xml import escape_attribute, escape_text
from stonechat_migrate.pie import NS_XINCLUDE, is_one_with

_DECLARATION = "<?xml version='1.0' encoding='UTF-8'?>\n"

# What a name of a file may have on the usual systems, less its ending.
_LONGEST_NAME = 200


class Writer(Protocol):
    """Where accounts go."""

    def begin_host(self, domain: str) -> None: ...
    def begin_user(self, user: Element) -> None: ...
    def add(self, element: Element) -> None: ...
    def end_user(self) -> None: ...
    def end_host(self) -> None: ...


@contextmanager
def writing(path: Path, *, split: bool) -> Iterator[Writer]:
    """A writer to a new file, or to files in a new directory; ShellError.

    What was written so far is taken away again where it was not brought to an end.
    """
    writer = _Directory(path) if split else _SingleFile(path)
    try:
        yield writer
        writer.close()
    except OSError as error:
        writer.abandon()
        raise ShellError(f"{error.filename or path}: {error.strerror}") from error
    except BaseException:
        writer.abandon()
        raise


class _User:
    """One <user/> in a file: neighbours that are parts of the same element become one."""

    def __init__(self, file: BinaryIO, user: Element) -> None:
        self._file = file
        self._last: Element | None = None
        self._write(_start_tag(user, {"xmlns": NS_PIE}) + "\n")

    def add(self, element: Element) -> None:
        if self._last is None or not is_one_with(element, self._last):
            self._end_last()
            self._write(_start_tag(element, {"xmlns": element.namespace}))
            self._last = Element(element.namespace, element.name, element.attributes)
        for child in element.children:
            if isinstance(child, str):
                self._write(escape_text(child))
            else:
                self._file.write(child.to_bytes(element.namespace))

    def end(self) -> None:
        self._end_last()
        self._write("</user>\n")

    def _end_last(self) -> None:
        if self._last is not None:
            self._write(f"</{self._last.name}>\n")
            self._last = None

    def _write(self, text: str) -> None:
        self._file.write(text.encode())


class _SingleFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _create(path)
        self._write(f"{_DECLARATION}<server-data xmlns='{NS_PIE}'>\n")

    def begin_host(self, domain: str) -> None:
        self._write(f"<host jid='{escape_attribute(domain)}'>\n")

    def begin_user(self, user: Element) -> None:
        self._user = _User(self._file, user)

    def add(self, element: Element) -> None:
        self._user.add(element)

    def end_user(self) -> None:
        self._user.end()

    def end_host(self) -> None:
        self._write("</host>\n")

    def close(self) -> None:
        self._write("</server-data>\n")
        _close(self._file)

    def abandon(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _write(self, text: str) -> None:
        self._file.write(text.encode())


class _Directory:
    """The layout of "File and Directory Layout"."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.mkdir(mode=0o700, exist_ok=True)
            if any(path.iterdir()):
                raise ShellError(f"{path}: there is something in it already")
        except OSError as error:
            raise ShellError(f"{path}: {error.strerror}") from error
        self._made: list[Path] = []
        self._main = self._open(path / "server-data.xml")
        includes = f"xmlns='{NS_PIE}' xmlns:xi='{NS_XINCLUDE}'"
        self._includes = includes
        self._main.write(f"{_DECLARATION}<server-data {includes}>\n".encode())
        self._host_file: BinaryIO | None = None
        self._user_file: BinaryIO | None = None

    def begin_host(self, domain: str) -> None:
        self._domain = domain
        name = f"{domain}.xml"
        self._host_file = self._open(self._path / name)
        _include(self._main, name)
        head = f"{_DECLARATION}<host {self._includes} jid='{escape_attribute(domain)}'>\n"
        self._host_file.write(head.encode())
        (self._path / domain).mkdir(mode=0o700)
        self._made.append(self._path / domain)

    def begin_user(self, user: Element) -> None:
        assert self._host_file is not None
        name = user.get("name")
        if len(name.encode()) > _LONGEST_NAME:
            # "various constraints may force an exporting server to alter this scheme"
            name = sha256(name.encode()).hexdigest()
        path = f"{self._domain}/{name}.xml"
        self._user_file = self._open(self._path / path)
        self._user_file.write(_DECLARATION.encode())
        _include(self._host_file, path)
        self._user = _User(self._user_file, user)

    def add(self, element: Element) -> None:
        self._user.add(element)

    def end_user(self) -> None:
        self._user.end()
        assert self._user_file is not None
        _close(self._user_file)
        self._user_file = None

    def end_host(self) -> None:
        assert self._host_file is not None
        self._host_file.write(b"</host>\n")
        _close(self._host_file)
        self._host_file = None

    def close(self) -> None:
        self._main.write(b"</server-data>\n")
        _close(self._main)

    def abandon(self) -> None:
        for file in (self._user_file, self._host_file, self._main):
            if file is not None:
                file.close()
        for path in reversed(self._made):
            if path.is_dir():
                for user in path.glob("*.xml"):
                    user.unlink()
                path.rmdir()
            else:
                path.unlink(missing_ok=True)

    def _open(self, path: Path) -> BinaryIO:
        file = _create(path)
        if path.parent == self._path:
            self._made.append(path)
        return file


def _create(path: Path) -> BinaryIO:
    """A new file that nobody else can read; ShellError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ShellError(f"{path}: it is there already") from None
    except OSError as error:
        raise ShellError(f"{path}: {error.strerror}") from error
    return os.fdopen(descriptor, "wb")


def _close(file: BinaryIO) -> None:
    """Close a file once the disk has it: what it came from may be deleted next."""
    with file:
        file.flush()
        os.fsync(file.fileno())


def _include(file: BinaryIO, path: str) -> None:
    # A name with a colon would be taken for one with a scheme.
    file.write(f"<xi:include href='{escape_attribute(quote(path, safe='/@'))}'/>\n".encode())


def _start_tag(element: Element, more: dict[str, str]) -> str:
    bare = Element("", element.name, {**more, **element.attributes})
    return str(bare).removesuffix("/>") + ">"
