"""A plugin that fails is suspended, and comes back with new code, without a restart."""

import sys
from importlib.metadata import EntryPoint

import pytest

from stonechat.commands import CommandError
from stonechat.core import plugin_loader
from stonechat.core.config import load_configuration
from stonechat.core.server import Server

NURSE = """\
from stonechat.options import PluginOptions, option

class Options(PluginOptions):
    word: str = option("Madam!", "What she calls.")

class Plugin:
    Options = Options

    def __init__(self, host, options):
        self.host = host
        self.word = options.word
        {start}
"""
WELL = NURSE.format(start="self.is_well = True")
ILL = NURSE.format(start="raise RuntimeError('too ill')")
TORN = "this is no Python\n"


class Installed:
    """The distribution of a plugin, in whatever state it is."""

    def __init__(self, directory) -> None:
        self.file = directory / "stonechat_nurse.py"
        self.versions = 0

    def install(self, code: str) -> None:
        self.versions += 1
        # Of another length each time: Python tells by that and the second whether a file is new.
        self.file.write_text(code + "#" * self.versions)


@pytest.fixture
def nurse(tmp_path, monkeypatch):
    point = EntryPoint("nurse", "stonechat_nurse:Plugin", "stonechat.plugins")
    installed = plugin_loader.installed

    def with_nurse(kind):
        return {**installed(kind), **({"nurse": point} if kind == "plugin" else {})}

    monkeypatch.setattr(plugin_loader, "installed", with_nurse)
    monkeypatch.syspath_prepend(tmp_path)
    yield Installed(tmp_path)
    sys.modules.pop("stonechat_nurse", None)


def test_new_code_brings_a_plugin_out_of_quarantine_with_its_options(server, nurse):
    nurse.install(ILL)
    server.expect_errors()
    host = server.host("capulet.example", nurse={"word": "Ladybird!"})
    assert host.kernel.plugins.quarantined == {"nurse": "too ill"}
    nurse.install(WELL)
    server.command("plugin-reload", plugin="nurse")
    assert host.kernel.plugins.quarantined == {}
    assert host.plugin("nurse").word == "Ladybird!"


def test_new_code_that_is_no_better_leaves_it_in_quarantine(server, nurse):
    nurse.install(ILL)
    server.expect_errors()
    host = server.host("capulet.example", nurse={})
    for code, reason in ((ILL, "too ill"), (TORN, "cannot be loaded"), (ILL, "too ill")):
        nurse.install(code)
        with pytest.raises(CommandError, match=reason):
            server.command("plugin-reload", plugin="nurse")
        assert host.kernel.plugins.quarantined == {"nurse": "too ill"}
    nurse.install(WELL)
    server.command("plugin-reload", plugin="nurse")
    assert host.plugin("nurse").is_well


def test_a_suspended_plugin_comes_back_with_the_options_that_it_had(server, nurse):
    nurse.install(WELL)
    server.configure(limits={"plugin_errors_per_minute": 1})
    server.expect_errors()
    host = server.host("capulet.example")
    server.command("plugin-enable", plugin="nurse", options='{"word": "Lamb!"}')
    host.kernel.plugins.count_failure("nurse")
    server.settle()
    assert "suspended" in host.kernel.plugins.quarantined["nurse"]
    server.command("plugin-reload", plugin="nurse")
    assert host.plugin("nurse").word == "Lamb!"


def test_what_is_neither_at_work_nor_in_quarantine_is_not_reloaded(server, nurse):
    nurse.install(WELL)
    server.host("capulet.example")
    with pytest.raises(CommandError, match=r"not enabled on capulet\.example"):
        server.command("plugin-reload", plugin="nurse")


CONFIGURATION = """\
hosts: {capulet.example: {}}
listen: []
durability: memory
plugins: {nurse: {word: Ladybird!}}
"""


def test_options_that_could_not_be_looked_at_are_read_from_the_file(nurse, tmp_path):
    nurse.install(TORN)
    file = tmp_path / "stonechat.yml"
    file.write_text(CONFIGURATION)
    server = Server(load_configuration(file, plugin_loader.options_of))
    server.start()
    try:
        plugins = server.hosts["capulet.example"].plugins
        assert "cannot be loaded" in plugins.quarantined["nurse"]
        nurse.install(WELL)
        file.write_text(CONFIGURATION.replace("word", "wort"))
        with pytest.raises(CommandError, match='did you mean "word"'):
            server.commands.run("plugin-reload", {"plugin": "nurse"})
        file.write_text("hosts: {capulet.example: {}}\n")
        with pytest.raises(CommandError, match=r"is not configured for capulet\.example"):
            server.commands.run("plugin-reload", {"plugin": "nurse"})
        file.write_text(CONFIGURATION)
        server.commands.run("plugin-reload", {"plugin": "nurse"})
        assert plugins.quarantined == {}
        assert plugins.running["nurse"].instance.word == "Ladybird!"
    finally:
        server.stop(1)


# The budget


def test_a_lower_budget_counts_what_was_before_it(server):
    server.expect_errors()
    plugins = server.host("capulet.example", ping={}).kernel.plugins
    for _ in range(5):
        plugins.count_failure("ping")
    plugins.errors_per_minute = 3
    plugins.count_failure("ping")
    server.settle()
    assert "suspended" in plugins.quarantined["ping"]


def test_a_plugin_that_was_started_anew_is_not_suspended_for_the_one_before(server):
    host = server.host("capulet.example", ping={})
    plugins = host.kernel.plugins
    plugins.errors_per_minute = 2
    for _ in range(4):
        plugins.count_failure("ping")
    plugins.enable(plugins.disable("ping"))
    server.settle()
    assert plugins.quarantined == {}
