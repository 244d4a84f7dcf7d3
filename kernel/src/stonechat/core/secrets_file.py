"""A secret that the server makes for itself once, and finds again at each start."""

from __future__ import annotations

import logging
import os
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path

from stonechat.errors import ConfigError

log = logging.getLogger("stonechat.secrets")


def load_or_create_secret(path: Path, size: int = 32) -> bytes:
    """The `size` random octets that the file holds; made there if it is missing.

    Of several processes that start at the same time, all get the same. Raises
    ConfigError when the file cannot be used or made.
    """
    try:
        try:
            return _load(path, size)
        except FileNotFoundError:
            _create(path, secrets.token_bytes(size))
            # Read again: another process may have been first.
            return _load(path, size)
    except OSError as error:
        raise ConfigError(f"{path}: the secret cannot be read or made: {error}") from error


def _load(path: Path, size: int) -> bytes:
    # Opening a pipe would wait for somebody to write to it.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ConfigError(f"{path}: the secret is not in a regular file")
        _check_mode(path, mode)
        secret = os.read(descriptor, size + 1)
    finally:
        os.close(descriptor)
    if len(secret) != size:
        raise ConfigError(
            f"{path}: the secret is not {size} octets long, so the server did not write it;"
            " put the file of a backup there, or remove it to have a new one made"
        )
    return secret


def _check_mode(path: Path, mode: int) -> None:
    # Windows keeps access rights elsewhere, and shows the same mode for all files.
    if sys.platform == "win32":
        return
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"{path}: others may write to the secret (mode {mode & 0o777:03o}), so it may be"
            " theirs; remove it to have a new one made, or set its mode to 600"
        )
    # Mounted secrets of containers and restored backups are often like this: no reason to
    # keep the server from starting.
    if mode & stat.S_IROTH:
        log.warning("%s: everybody may read the secret; set its mode to 600", path)


def _create(path: Path, secret: bytes) -> None:
    """Put the secret there as a whole, or leave what another process put there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(descriptor)
        _publish(draft, path)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
    _sync_directory(path.parent)


def _publish(draft: Path, path: Path) -> None:
    try:
        # Unlike a rename, it never replaces a secret that is there already.
        os.link(draft, path)
    except FileExistsError:
        pass
    except OSError:
        # A file system without hard links, FAT for one.
        draft.replace(path)


def _sync_directory(directory: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
