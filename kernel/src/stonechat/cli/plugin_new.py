"""`stonechat plugin new`: a distribution to start from, with one handler and its tests."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from stonechat import __version__
from stonechat.cli.exit_codes import USAGE, Failure
from stonechat.cli.output import show

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")

# @NAME@ is the plugin, @UPPER@ and @TITLE@ the same as code and as words, @VERSION@ ours.
FILES = {
    "setup.cfg": """\
[metadata]
name = stonechat-@NAME@
version = 0.1.0
description = @TITLE@ for Stonechat
long_description = file: README.md
long_description_content_type = text/markdown

[options]
package_dir =
    = src
packages = find:
python_requires = >=3.11
install_requires =
    stonechat>=@VERSION@

[options.packages.find]
where = src

[options.extras_require]
test =
    stonechat[testing]

# This line is what makes it a plugin: its name in the configuration, and its class.
[options.entry_points]
stonechat.plugins =
    @NAME@ = stonechat_@NAME@:Plugin
""",
    "pyproject.toml": """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
""",
    "README.md": """\
# @TITLE@

A plugin for Stonechat: it answers greetings, each user for himself. Say here, in a
paragraph, what users gain.

## Install

    pip install stonechat-@NAME@

## Smallest configuration

```yaml
plugins:
  @NAME@: {}
```

## What of the XEP is supported

Nothing yet: the namespace is made up.

## Limits

It answers only users of its own host.

## Develop

    pip install -e '.[test]'
    pytest
""",
    "src/stonechat_@NAME@/__init__.py": '''\
"""@TITLE@: answers greetings. Say here what it is for, with the number of the XEP."""

from stonechat import hookimpl
from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.iq import IqHandler
from stonechat.options import PluginOptions, option
from stonechat.stanza import Element, Iq

NS_@UPPER@ = "urn:example:@NAME@:0"


class Options(PluginOptions):
    greeting: str = option("Hello", "The word that users are greeted with.", min_length=1)


class Plugin:
    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        """One instance for each host that has the plugin."""
        self.host = host
        self.options = options

    @hookimpl
    def stonechat_disco_features(self) -> list[str]:
        return [NS_@UPPER@]

    @hookimpl
    def stonechat_iq_handlers(self) -> dict[tuple[str, str], IqHandler]:
        return {("get", NS_@UPPER@): self.greet}

    def greet(self, iq: Iq) -> Element:
        """Returns the payload of the result; the kernel makes the answer of it."""
        if iq.from_.domain != self.host.name:
            raise StanzaError("forbidden", "Only our own users are greeted.")
        answer = Element(NS_@UPPER@, "greeting")
        answer.append(f"{self.options.greeting}, {iq.from_.localpart}!")
        return answer
''',
    "tests/test_@NAME@.py": '''\
"""What users see of @NAME@. The `server` fixture comes with `stonechat[testing]`."""

from stonechat.stanza import Element
from stonechat_@NAME@ import NS_@UPPER@


def test_greets_a_user_by_name(server):
    host = server.host("capulet.example", @NAME@={})
    juliet = host.connect("juliet@capulet.example/balcony")
    answer = juliet.get(Element(NS_@UPPER@, "greeting"), to="capulet.example")
    assert answer.payload.text == "Hello, juliet!"


def test_greets_with_the_word_of_the_configuration(server):
    host = server.host("capulet.example", @NAME@={"greeting": "Good morrow"})
    romeo = host.connect("romeo@capulet.example/orchard")
    answer = romeo.get(Element(NS_@UPPER@, "greeting"), to="capulet.example")
    assert answer.payload.text == "Good morrow, romeo!"
''',
}


def plugin_new(name: str, directory: str | None, *, as_json: bool) -> None:
    """Write the files; Failure if the name is none, or if anything is there already."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise Failure(
            f"{name!r} is no name for a plugin: small letters, digits and underscores,"
            " a letter first",
            USAGE,
            "usage",
        )
    place = Path(directory or f"stonechat-{name}")
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise Failure(f"{place} is there already, and not empty", kind="files")
    try:
        for path, text in FILES.items():
            target = place / _filled(path, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_filled(text, name), encoding="utf-8")
    except OSError as error:
        raise Failure(f"{place}: cannot be written: {error.strerror}", kind="files") from error
    if as_json:
        show({"directory": str(place), "distribution": f"stonechat-{name}"}, as_json=True)
    else:
        show(
            f"{place} is a plugin that works. Install it and run its tests with\n"
            f"    pip install -e '{place}[test]'\n    pytest {place}",
            as_json=False,
        )


def _filled(text: str, name: str) -> str:
    for mark, value in {
        "@NAME@": name,
        "@UPPER@": name.upper(),
        "@TITLE@": name.replace("_", " ").capitalize(),
        "@VERSION@": __version__,
    }.items():
        text = text.replace(mark, value)
    return text
