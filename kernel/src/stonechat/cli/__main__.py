"""Where the `stonechat` command begins.

Only `serve` replaces the blocking parts of the standard library by gevent's, and it does
so before anything else is imported; every other subcommand is an ordinary program.
"""

from __future__ import annotations

import sys


def main() -> None:
    arguments = sys.argv[1:]
    if arguments[:1] == ["serve"]:
        from gevent import monkey

        monkey.patch_all()
    sys.exit(_run(arguments))


def _run(arguments: list[str]) -> int:
    from stonechat.cli.exit_codes import INTERRUPTED

    try:
        # The usual ways to start a server need no parser of command lines.
        match arguments:
            case ["serve"]:
                return _serve(None)
            case ["serve", "--config", file] if file:
                return _serve(file)
        from stonechat.cli.app import run

        return run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED


def _serve(configuration: str | None) -> int:
    from stonechat.cli.serve import serve

    return serve(configuration)


if __name__ == "__main__":
    main()
