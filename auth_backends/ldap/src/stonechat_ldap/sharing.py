"""The connection is described once: plugins look into the directory of the auth backend.

That one provides its directory as the service `ldap`. While a reload is under way there are
two backends, the old and the new one, and whichever was started last counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stonechat.errors import ConfigError
from stonechat_ldap.directory import Directory
from stonechat_ldap.entry import LdapUnavailable
from stonechat_ldap.options import DirectoryOptions

if TYPE_CHECKING:
    from stonechat.host import Host

SERVICE = "ldap"


class Link:
    """Leads to the directory of a host that is in use now."""

    def __init__(self, provider: Host | None = None) -> None:
        self._directories: list[Directory] = []
        # The one whose end takes the service away.
        self._provider = provider

    @property
    def directory(self) -> Directory:
        """LdapUnavailable where the host has none any more."""
        if not self._directories:
            raise LdapUnavailable("no directory is configured any more")
        return self._directories[-1]

    def add(self, directory: Directory) -> None:
        self._directories.append(directory)

    def remove(self, directory: Directory) -> None:
        """Once the provider is gone, another one goes on with the service."""
        self._directories.remove(directory)
        if directory.host is not self._provider or not self._directories:
            return
        successor = self._directories[-1].host
        if successor is not self._provider:
            self._provider = successor
            # The name is free as soon as who stops now has stopped.
            successor.spawn(successor.provide, SERVICE, self)


def share(directory: Directory) -> Link:
    """Let the host's plugins have an auth backend's directory.

    It takes it back by `link.remove(directory)`, as the last thing that it does.
    """
    host = directory.host
    link: Link | None = host.service(SERVICE)
    if link is None:
        link = Link(host)
        host.provide(SERVICE, link)
    link.add(directory)
    return link


def find_directory(host: Host, own: DirectoryOptions | None) -> Link:
    """The directory for a plugin: its own, which is started, or that of the host's accounts.

    ConfigError where there is neither. Its own it stops by `link.directory.stop()`.
    """
    if own is not None:
        link = Link()
        directory = Directory(host, own)
        directory.start()
        link.add(directory)
        return link
    found: Link | None = host.service(SERVICE)
    if found is None:
        raise ConfigError(
            "directory: name `ldap` among the auth backends of the host, or describe a directory"
            " here"
        )
    return found
