#!/usr/bin/env python3
"""Accounts for Stonechat (or ejabberd) in a SQLite file: a sample to start from.

It reads requests from standard input and writes answers to standard output, until the
input ends. Write nothing else to standard output; standard error goes to the server's log.

Several of these run at the same time: whatever keeps the accounts has to bear that.
"""

import hashlib
import hmac
import secrets
import sqlite3
import struct
import sys


class Accounts:
    def __init__(self, path):
        self.database = sqlite3.connect(path, timeout=4, isolation_level=None)
        self.database.execute(
            "CREATE TABLE IF NOT EXISTS accounts"
            " (user TEXT, host TEXT, salt BLOB, hash BLOB, PRIMARY KEY (user, host))"
        )

    def auth(self, user, host, password):
        found = self.database.execute(
            "SELECT salt, hash FROM accounts WHERE user = ? AND host = ?", (user, host)
        ).fetchone()
        # A stranger must not see by the time it takes whether there is such an account.
        salt, expected = found or (b"nobody", b"")
        return hmac.compare_digest(digest(password, salt), expected)

    def isuser(self, user, host):
        found = self.database.execute(
            "SELECT 1 FROM accounts WHERE user = ? AND host = ?", (user, host)
        ).fetchone()
        return found is not None

    def setpass(self, user, host, password):
        salt = secrets.token_bytes(16)
        changed = self.database.execute(
            "UPDATE accounts SET salt = ?, hash = ? WHERE user = ? AND host = ?",
            (salt, digest(password, salt), user, host),
        )
        return changed.rowcount == 1

    def tryregister(self, user, host, password):
        salt = secrets.token_bytes(16)
        made = self.database.execute(
            "INSERT OR IGNORE INTO accounts VALUES (?, ?, ?, ?)",
            (user, host, salt, digest(password, salt)),
        )
        return made.rowcount == 1

    def removeuser(self, user, host):
        removed = self.database.execute(
            "DELETE FROM accounts WHERE user = ? AND host = ?", (user, host)
        )
        return removed.rowcount == 1

    def removeuser3(self, user, host, password):
        return self.auth(user, host, password) and self.removeuser(user, host)


def digest(password, salt):
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32)


def read_request(stream):
    """The fields of the next request; None at the end of the input."""
    header = stream.read(2)
    if len(header) < 2:
        return None
    (length,) = struct.unpack(">H", header)
    body = stream.read(length)
    if len(body) < length:
        return None
    # Only the first three colons part the fields: there may be more in the password.
    return body.decode().split(":", 3)


def main():
    accounts = Accounts(sys.argv[1] if len(sys.argv) > 1 else "accounts.db")
    operations = {
        "auth": accounts.auth,
        "isuser": accounts.isuser,
        "setpass": accounts.setpass,
        "tryregister": accounts.tryregister,
        "removeuser": accounts.removeuser,
        "removeuser3": accounts.removeuser3,
    }
    while (fields := read_request(sys.stdin.buffer)) is not None:
        operation, *arguments = fields
        answer = operation in operations and operations[operation](*arguments)
        sys.stdout.buffer.write(struct.pack(">HH", 2, int(answer)))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
