"""Stonechat: an XMPP server as a microkernel that carries stanzas and calls plugins.

What a plugin may import are the modules at this level; everything in
`stonechat.protocol`, `.net`, `.core` and `.cli` is private to the kernel.
"""

from stonechat.plugin import hookimpl

__version__ = "0.1.0"

__all__ = ["__version__", "hookimpl"]
