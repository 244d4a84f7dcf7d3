"""What plugins that do not care about a stanza add to it.

    python benchmarks/hooks.py [PLUGINS]

Ten plugins (or PLUGINS) are put behind the kernel's six chains of filters, each with a
filter in every chain that concerns itself with another payload. The time that a stanza
takes through the chains is compared with that of a host without plugins. Another line is
for plugins that want to see every stanza, and say nothing. Microseconds of processor time
for each stanza, the best of several runs.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from stonechat import hookimpl
from stonechat.core.chains import Hooks
from stonechat.plugin import concerns
from stonechat.stanza import Iq, Message, Presence, Stanza

RUNS = 15
STANZAS = 10_000

MESSAGE = (
    b"<message to='romeo@montague.example' type='chat' id='1'><body>Hail</body>"
    b"<active xmlns='http://jabber.org/protocol/chatstates'/></message>"
)
CHILDREN = ("jabber:client body", "http://jabber.org/protocol/chatstates active")


def plugin(number: int, *, sees_all: bool) -> object:
    """A plugin with a filter in each chain."""
    mark: Callable[[Any], Any] = (
        (lambda function: function)
        if sees_all
        else concerns(f"urn:example:{number} x", f"urn:example:{number} y")
    )

    class Plugin:
        @hookimpl
        @mark
        def stonechat_message_from_user(self, session: Any, message: Message) -> None: ...

        @hookimpl
        @mark
        def stonechat_presence_from_user(self, session: Any, presence: Presence) -> None: ...

        @hookimpl
        @mark
        def stonechat_iq_from_user(self, session: Any, iq: Iq) -> None: ...

        @hookimpl
        @mark
        def stonechat_message_to_user(self, message: Message) -> None: ...

        @hookimpl
        @mark
        def stonechat_presence_to_user(self, presence: Presence) -> None: ...

        @hookimpl
        @mark
        def stonechat_iq_to_user(self, iq: Iq) -> None: ...

    return Plugin()


def failed(call: object, error: BaseException, stanza: Stanza | None) -> None:
    raise error


def hooks_with(plugins: int, *, sees_all: bool = False) -> Hooks:
    hooks = Hooks(failed)
    for number in range(plugins):
        hooks.add(f"plugin-{number}", plugin(number, sees_all=sees_all))
    return hooks


def two_chains(hooks: Hooks, message: Message) -> None:
    """What a message from one user to another goes through."""
    hooks.message_from_user.run(message, None)
    hooks.message_to_user.run(message)


def six_chains(hooks: Hooks, message: Message) -> None:
    """All there are, as if a stanza could go through each."""
    hooks.message_from_user.run(message, None)
    hooks.presence_from_user.run(message, None)
    hooks.iq_from_user.run(message, None)
    hooks.message_to_user.run(message)
    hooks.presence_to_user.run(message)
    hooks.iq_to_user.run(message)


def microseconds(way: Callable[[Hooks, Message], None], hooks: Hooks) -> float:
    message = Message.received({"type": "chat"}, CHILDREN, MESSAGE, MESSAGE.index(b">") + 1)
    best = float("inf")
    for _ in range(RUNS):
        begun = time.process_time_ns()
        for _ in range(STANZAS):
            way(hooks, message)
        best = min(best, time.process_time_ns() - begun)
    return best / STANZAS / 1000


def main() -> None:
    plugins = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    print(f"python {sys.version.split()[0]}, {plugins} plugins")
    for name, sees_all in (("concerned with others", False), ("seeing every stanza", True)):
        hooks = hooks_with(plugins, sees_all=sees_all)
        for way, chains in ((two_chains, 2), (six_chains, 6)):
            without = microseconds(way, hooks_with(0))
            with_them = microseconds(way, hooks)
            print(
                f"{name}, {chains} chains: {with_them:.2f} us, without plugins {without:.2f} us:"
                f" {with_them - without:.2f} us added"
            )


if __name__ == "__main__":
    main()
