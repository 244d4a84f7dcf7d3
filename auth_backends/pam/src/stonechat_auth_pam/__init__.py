"""Accounts of the machine, checked by PAM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stonechat_auth_pam.backend import Backend, Options

__all__ = ["Backend", "Options"]


def __getattr__(name: str) -> Any:
    # Later, and in the server only: a helper process, whose code is in this package, too, is
    # to start quickly and to stay small.
    if name not in __all__:
        raise AttributeError(name)
    from stonechat_auth_pam import backend

    return getattr(backend, name)
