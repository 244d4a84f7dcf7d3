"""The code of plugins: found by entry points, and taken in anew without a restart."""

import shutil
import sys
import textwrap

import pytest

from stonechat.commands import CommandError
from stonechat.core import plugin_loader
from stonechat.errors import StonechatError
from stonechat.stanza import Element

QUERY = "urn:example:query"
HOST = "capulet.example"
OTHER = "montague.example"


class Distribution:
    """A distribution as pip leaves it: a package, and a dist-info with its entry point."""

    def __init__(self, directory, name="herald"):
        self.package = f"verona_{name}"
        self.directory = directory
        self.versions = 0
        info = directory / f"{self.package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {self.package}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(
            f"[stonechat.plugins]\n{name} = {self.package}:Plugin\n"
        )
        (directory / self.package).mkdir()

    def write(self, word, options="word: str = option('Hail', 'What it says.')"):
        # Of another length each time: Python tells by that and the second whether it is new.
        self.versions += 1
        package = self.directory / self.package
        (package / "words.py").write_text(f"WORD = {word!r}\n" + "#" * self.versions)
        (package / "__init__.py").write_text(
            textwrap.dedent(
                f"""
                from stonechat import hookimpl
                from stonechat.options import PluginOptions, option
                from stonechat.stanza import Element
                from {self.package}.words import WORD

                class Options(PluginOptions):
                    {options}

                class Plugin:
                    Options = Options

                    def __init__(self, host, options):
                        self.host = host
                        self.options = options

                    @hookimpl
                    def stonechat_iq_handlers(self):
                        return {{("get", "{QUERY}"): self.answer}}

                    def answer(self, iq):
                        return Element("{QUERY}", "word", None, WORD)
                """
            )
            + "#" * self.versions
        )


@pytest.fixture
def herald(tmp_path, monkeypatch):
    directory = tmp_path / "site-packages"
    directory.mkdir()
    monkeypatch.syspath_prepend(directory)
    herald = Distribution(directory)
    yield herald
    for module in [name for name in sys.modules if name.partition(".")[0] == herald.package]:
        del sys.modules[module]
    plugin_loader.packages.pop(herald.package, None)


def word(client, to):
    return client.get(Element(QUERY, "query"), to=to).payload.text


def never():
    raise AssertionError


def test_an_installed_plugin_is_found_by_its_entry_point(server, herald):
    herald.write("Hear ye")
    juliet = server.host(HOST, herald={}).connect(f"juliet@{HOST}/balcony")
    assert word(juliet, HOST) == "Hear ye"
    assert plugin_loader.packages["verona_herald"] == "herald"


def test_what_is_installed_is_read_again_only_when_something_came_or_went(herald, monkeypatch):
    assert "herald" in plugin_loader.installed("plugin")
    read, readings = plugin_loader.entry_points, []

    def counted(group):
        readings.append(group)
        return read(group=group)

    monkeypatch.setattr(plugin_loader, "entry_points", counted)
    plugin_loader.installed("plugin")
    plugin_loader.load("auth", "internal")
    assert readings == []
    shutil.rmtree(herald.directory / "verona_herald-1.0.dist-info")
    assert "herald" not in plugin_loader.installed("plugin")


def test_a_plugin_that_was_half_installed_when_it_was_looked_for_is_found_later(server, herald):
    point = herald.directory / "verona_herald-1.0.dist-info" / "entry_points.txt"
    text = point.read_text()
    point.unlink()
    with pytest.raises(StonechatError):
        plugin_loader.load("plugin", "herald")
    point.write_text(text)
    herald.write("Hear ye")
    juliet = server.host(HOST, herald={}).connect(f"juliet@{HOST}/balcony")
    assert word(juliet, HOST) == "Hear ye"


def test_new_code_takes_the_place_of_the_old_with_the_same_options(server, herald):
    said = []

    class Page:
        requires = ("herald",)

        def __init__(self, host, options): ...

        def start(self):
            said.append("start")

        def stop(self):
            said.append("stop")

    herald.write("Hear ye")
    capulet = server.host(
        HOST,
        plugin_classes={"page": Page},
        herald={"word": "Madam"},
    )
    montague = server.host(OTHER, herald={})
    juliet = capulet.connect(f"juliet@{HOST}/balcony")
    romeo = montague.connect(f"romeo@{OTHER}/orchard")
    said.clear()
    herald.write("Hear ye, hear ye")
    assert word(juliet, HOST) == "Hear ye"
    capulet.kernel.plugins.reload_code("herald", never)
    assert word(juliet, HOST) == "Hear ye, hear ye"
    assert capulet.plugin("herald").options.word == "Madam"
    assert said == ["stop", "start"]
    # The other host keeps the code that it has.
    assert word(romeo, OTHER) == "Hear ye"
    montague.kernel.plugins.reload_code("herald", never)
    assert word(romeo, OTHER) == "Hear ye, hear ye"


def test_new_code_that_does_not_take_the_options_leaves_the_old_at_work(server, herald):
    herald.write("Hear ye")
    capulet = server.host(HOST, herald={"word": "Madam"})
    juliet = capulet.connect(f"juliet@{HOST}/balcony")
    before = capulet.plugin("herald")
    herald.write("Oyez", options="cry: int = option(1, 'How loud.', ge=1)")
    with pytest.raises(CommandError, match="the new code does not take its options: word: "):
        capulet.kernel.plugins.reload_code("herald", never)
    assert capulet.plugin("herald") is before
    assert word(juliet, HOST) == "Hear ye"


def test_new_code_that_cannot_be_loaded_leaves_the_old_at_work(server, herald):
    herald.write("Hear ye")
    capulet = server.host(HOST, herald={})
    juliet = capulet.connect(f"juliet@{HOST}/balcony")
    code = {name: sys.modules[name] for name in (herald.package, f"{herald.package}.words")}
    (herald.directory / herald.package / "words.py").write_text("this is no Python\n")
    with pytest.raises(StonechatError, match="cannot be loaded"):
        capulet.kernel.plugins.reload_code("herald", never)
    assert word(juliet, HOST) == "Hear ye"
    assert {name: sys.modules[name] for name in code} == code


def test_a_plugin_that_pip_installs_meanwhile_can_be_enabled(server, herald):
    capulet = server.host(HOST)
    with pytest.raises(StonechatError):
        plugin_loader.load("plugin", "town-crier")
    crier = Distribution(herald.directory, "crier")
    crier.write("Oyez")
    try:
        capulet.enable("crier")
        juliet = capulet.connect(f"juliet@{HOST}/balcony")
        assert word(juliet, HOST) == "Oyez"
    finally:
        sys.modules.pop("verona_crier", None)
        sys.modules.pop("verona_crier.words", None)
        plugin_loader.packages.pop("verona_crier", None)
