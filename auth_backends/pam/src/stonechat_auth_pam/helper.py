"""A process that asks PAM, so that the server never waits in a module of it.

    stonechat-pam-helper SERVICE SECONDS [keep-delay]

It reads requests from standard input until that ends. Whatever takes longer than SECONDS
ends the process: where it was started by `sudo`, the server may not do that.
"""

from __future__ import annotations

import os
import pwd
import sys
import threading
from ctypes import CFUNCTYPE, c_int, c_uint, c_void_p, cast
from typing import Any

import pam

from stonechat_auth_pam import wire
from stonechat_auth_pam.processes import end_descendants
from stonechat_auth_pam.wire import Kind, Verdict

# Codes by which PAM says that it could not find out, and not that the answer is no.
# PAM_SYSTEM_ERR (4) is not among them: pam_exec says so where its program says no.
_FAULTS = frozenset(
    {
        pam.PAM_OPEN_ERR,
        pam.PAM_SYMBOL_ERR,
        pam.PAM_SERVICE_ERR,
        pam.PAM_BUF_ERR,
        pam.PAM_AUTHINFO_UNAVAIL,
        pam.PAM_ABORT,
        pam.PAM_MODULE_UNKNOWN,
    }
)

# Linux-PAM's item for a function that is called in place of the sleep after a failure.
_PAM_FAIL_DELAY = 10


@CFUNCTYPE(None, c_int, c_uint, c_void_p)
def _do_not_sleep(code: int, microseconds: int, data: Any) -> None:
    """The server makes pauses of its own, for the one who guesses, and not for us."""


def check(service: bytes, name: bytes, password: bytes, keep_delay: bool) -> tuple[Verdict, str]:
    """Authenticate, and see whether the account may be used now."""
    authenticator = pam.PamAuthenticator()
    if not keep_delay:
        authenticate = authenticator.pam_authenticate

        def at_once(handle: Any, flags: int) -> int:
            authenticator.pam_set_item(handle, _PAM_FAIL_DELAY, cast(_do_not_sleep, c_void_p))
            code: int = authenticate(handle, flags)
            return code

        authenticator.pam_authenticate = at_once
    is_right = authenticator.authenticate(name, password, service, resetcreds=False)
    if is_right:
        return Verdict.YES, ""
    verdict = Verdict.UNAVAILABLE if authenticator.code in _FAULTS else Verdict.NO
    return verdict, f"{authenticator.reason} (PAM code {authenticator.code})"


def exists(name: bytes) -> tuple[Verdict, str]:
    """Look into the machine's user database, whatever that is made of."""
    try:
        pwd.getpwnam(os.fsdecode(name))
    except (KeyError, ValueError):
        return Verdict.NO, ""
    return Verdict.YES, ""


def give_up() -> None:
    """End this process, and what the module in which it hangs has started."""
    end_descendants(os.getpid())
    os._exit(1)


def main() -> None:
    service, seconds, *rest = sys.argv[1:]
    # What a module prints must not get between the answers.
    output = os.dup(1)
    os.dup2(2, 1)
    os.write(output, wire.HELLO)
    while True:
        try:
            kind, name, password = wire.read_request(lambda size: os.read(0, size))
        except EOFError:
            return
        # Another thread runs while a module is at work, and a signal's handler would not.
        watch = threading.Timer(float(seconds), give_up)
        watch.daemon = True
        watch.start()
        if kind is Kind.CHECK:
            verdict = check(service.encode(), name, password, "keep-delay" in rest)
        else:
            verdict = exists(name)
        watch.cancel()
        os.write(output, wire.answer(*verdict))


if __name__ == "__main__":
    main()
