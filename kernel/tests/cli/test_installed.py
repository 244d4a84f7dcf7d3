"""Commands that other distributions bring to the command line."""

import io
import json
import logging
from types import SimpleNamespace

import click
import pytest
import structlog
from click.testing import CliRunner

from stonechat.cli import app, installed
from stonechat.cli.exit_codes import REFUSED
from stonechat.shell import ShellArgument, ShellCommand, ShellError


@pytest.fixture
def install(monkeypatch):
    """`install("db-weigh", command)`: as if a distribution had brought it."""
    points = []

    def entry_points(group):
        assert group == "stonechat.cli"
        return points

    def install(name, command):
        def load():
            if isinstance(command, Exception):
                raise command
            return command

        points.append(SimpleNamespace(name=name, value=f"scales:{name}", load=load))

    monkeypatch.setattr(installed, "entry_points", entry_points)
    installed.installed_commands.cache_clear()
    yield install
    installed.installed_commands.cache_clear()


@pytest.fixture
def own_log():
    """A server that is brought up here takes the log of the whole process."""
    handlers, level = logging.root.handlers[:], logging.root.level
    settings = structlog.get_config()
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.configure(**settings)


def weigh(shell, path, unit, times, gross):
    if unit == "stone":
        raise ShellError("a stone is no unit")
    shell.progress("weighing")
    shell.show({"path": path, "unit": unit, "times": times, "gross": gross})
    return 4 if gross else 0


WEIGH = ShellCommand(
    "Weigh something.",
    weigh,
    (
        ShellArgument("path"),
        ShellArgument("unit", "In what.", "kilogram", "in"),
        ShellArgument("times", "How often.", "1"),
        ShellArgument("gross", "With all around it.", default=False),
    ),
    help="It is put on scales.",
    example="stonechat db weigh x",
)


def test_arguments_and_options_come_by_their_names(install, capsys):
    install("db-weigh", WEIGH)
    assert app.run(["db", "weigh", "x", "--in", "pound", "--gross", "--json"]) == 4
    assert json.loads(capsys.readouterr().out) == {
        "path": "x",
        "unit": "pound",
        "times": "1",
        "gross": True,
    }
    assert app.run(["db", "weigh", "x"]) == 0
    assert "kilogram" in capsys.readouterr().out


def test_a_command_without_a_group_stands_at_the_top(install, capsys):
    install("weigh-all", WEIGH)
    assert app.run(["weigh-all", "x"]) == 0
    assert app.run(["weigh-al", "x"]) == 2
    assert "weigh-all" in capsys.readouterr().err


def test_what_it_refuses_is_told_as_any_refusal(install, capsys):
    install("db-weigh", WEIGH)
    assert app.run(["db", "weigh", "x", "--in", "stone"]) == REFUSED
    assert capsys.readouterr().err == "a stone is no unit\n"
    assert app.run(["db", "weigh", "x", "--in", "stone", "--json"]) == REFUSED
    assert json.loads(capsys.readouterr().out)["error"]["text"] == "a stone is no unit"


def test_one_that_cannot_be_loaded_takes_no_other_along(install, capsys):
    install("db-broken", ImportError("no scales"))
    install("db-weigh", WEIGH)
    assert app.run(["db", "weigh", "x"]) == 0
    assert "db-broken" in capsys.readouterr().err


def test_help_names_it_with_what_it_takes(install):
    install("db-weigh", WEIGH)
    shown = CliRunner().invoke(app._application(), ["db", "--help"], obj=[]).output
    assert "weigh" in shown
    assert "backup" in shown
    shown = CliRunner().invoke(app._application(), ["db", "weigh", "--help"], obj=[]).output
    assert "--in IN" in shown
    assert "It is put on scales." in shown
    assert "Example: stonechat db weigh x" in shown


def test_commands_of_the_kernel_are_not_replaced(install, capsys):
    install("db-backup", WEIGH)
    assert isinstance(app._application().commands["db"], click.Group)
    assert app.run(["db", "backup"]) == 2
    assert "PATH" in capsys.readouterr().err


CONFIGURATION = """\
data_dir: {data}
hosts: {{capulet.example: {{}}, montague.example: {{}}}}
listen: []
"""


@pytest.mark.usefixtures("own_log")
def test_without_a_server_its_hosts_are_brought_up_here(install, capsys, tmp_path):
    def count(shell):
        with shell.node() as node:
            assert not node.is_running
            node.run("register", jid="juliet@capulet.example", password="secret")
            with pytest.raises(ShellError, match="already"):
                node.run("register", jid="juliet@capulet.example", password="secret")
            shell.show({host: node.run("registered-users", host=host) for host in node.hosts})
        return 0

    install("count", ShellCommand("Count all accounts.", count))
    file = tmp_path / "stonechat.yml"
    file.write_text(CONFIGURATION.format(data=tmp_path / "data"))
    assert app.run(["count", "--config", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "capulet.example": ["juliet@capulet.example"],
        "montague.example": [],
    }


def test_a_wrong_configuration_is_told(install, capsys, tmp_path):
    def look(shell):
        with shell.node():
            return 0

    install("look", ShellCommand("Look.", look))
    file = tmp_path / "stonechat.yml"
    file.write_text("hosts: 5\n")
    assert app.run(["look", "--config", str(file)]) == REFUSED
    assert "hosts" in capsys.readouterr().err


class Terminal(io.StringIO):
    """What somebody looks at."""

    def isatty(self):
        return True


def test_progress_is_shown_on_a_terminal_and_cleared_before_what_comes_next(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(installed.sys, "stderr", terminal)
    shell = installed.CommandLineShell(None, as_json=False)
    shell.progress("1000 accounts")
    shell.progress("1001 \x1b[2J")
    assert terminal.getvalue() == "\r1000 accounts\r1001 \\x1b[2J "
    shell.say("done")
    assert terminal.getvalue().endswith(f"\r{' ' * 12}\rdone\n")


def test_nobody_who_reads_a_file_sees_progress(capsys):
    installed.CommandLineShell(None, as_json=False).progress("1000 accounts")
    assert capsys.readouterr().err == ""
