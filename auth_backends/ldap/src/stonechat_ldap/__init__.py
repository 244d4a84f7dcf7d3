"""LDAP directories, for whatever in Stonechat wants to look into one: a library, no plugin.

    class Plugin:
        def start(self) -> None:
            self.directory = find_directory(self.host, self.options.directory)

It gives the directory that the auth backend `ldap` has open, so that an administrator
describes the connection once; or one of the plugin's own, where the options describe it.
"""

from stonechat_ldap.directory import Directory
from stonechat_ldap.entry import Entry, LdapUnavailable, Refused
from stonechat_ldap.filters import all_of, any_of, equals, like
from stonechat_ldap.options import Attribute, DirectoryOptions, Filter
from stonechat_ldap.sharing import Link, find_directory, share
from stonechat_ldap.uids import Uid

__all__ = [
    "Attribute",
    "Directory",
    "DirectoryOptions",
    "Entry",
    "Filter",
    "LdapUnavailable",
    "Link",
    "Refused",
    "Uid",
    "all_of",
    "any_of",
    "equals",
    "find_directory",
    "like",
    "share",
]
