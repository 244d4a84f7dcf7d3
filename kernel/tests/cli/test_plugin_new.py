"""`stonechat plugin new`: what it writes installs, runs and passes its tests."""

import os
import subprocess
import sys

import pytest

from stonechat.cli.app import run


@pytest.mark.parametrize("name", ["", "Muc", "my-plugin", "7up", "class", "a" * 41, "../etc"])
def test_a_name_that_could_be_no_module_is_refused(tmp_path, capsys, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert run(["plugin", "new", name]) == 2
    assert "is no name for a plugin" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_nothing_is_overwritten(tmp_path, capsys):
    (tmp_path / "README.md").write_text("mine")
    assert run(["plugin", "new", "balcony", "--directory", str(tmp_path)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["README.md"]


def test_the_distribution_installs_runs_and_passes_its_tests(tmp_path, capsys):
    directory = tmp_path / "stonechat-town_crier"
    assert run(["plugin", "new", "town_crier", "--directory", str(directory)]) == 0
    assert f"pytest {directory}" in capsys.readouterr().out
    site = tmp_path / "site"
    # Offline: nothing but the distribution itself is to be installed.
    install = ("--no-build-isolation", "--no-deps", "--no-index", "--quiet", "--target", site)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *install, directory],
        check=True,
        capture_output=True,
        timeout=120,
    )
    paths = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", directory],
        env={**os.environ, "PYTHONPATH": paths},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_what_it_writes_is_as_our_own_code_is(tmp_path, capsys):
    directory = tmp_path / "town_crier"
    assert run(["plugin", "new", "town_crier", "--directory", str(directory)]) == 0
    for path in directory.rglob("*.py"):
        compile(path.read_text(), str(path), "exec")
        assert "@" not in path.read_text().replace("@hookimpl", "").replace("@capulet", "")
