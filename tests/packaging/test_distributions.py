"""The distributions of this repository agree with each other and with the lists of them."""

import configparser
from pathlib import Path

import pytest

from stonechat.core import plugin_loader

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/setup.cfg"))
BACKENDS = sorted(path.parent for path in ROOT.glob("auth_backends/*/setup.cfg"))
DISTRIBUTIONS = [ROOT / "kernel", *BACKENDS, *PLUGINS]


def settings(directory: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(directory / "setup.cfg", encoding="utf-8")
    return parser


SHARED = settings(ROOT)
VERSION = SHARED["metadata"]["version"]
PACKAGES = {f"stonechat_{path.name}" for path in PLUGINS} | {
    f"stonechat_auth_{path.name}" for path in BACKENDS
}
# What several of them use; it comes with one of them.
LIBRARIES = {"stonechat_ldap"}


def by_name(directory: Path) -> str:
    return directory.name


def test_the_kernel_has_the_version_of_the_umbrella():
    source = (ROOT / "kernel/src/stonechat/__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{VERSION}"' in source.splitlines()


@pytest.mark.parametrize("directory", DISTRIBUTIONS, ids=by_name)
@pytest.mark.parametrize("part", ["pyproject.toml", "README.md", "src", "tests"])
def test_every_distribution_is_complete(directory: Path, part: str):
    assert (directory / part).exists()


@pytest.mark.parametrize("directory", DISTRIBUTIONS, ids=by_name)
def test_every_distribution_comes_with_the_licence(directory: Path):
    """A copy: what a distribution is built from has to lie in its directory."""
    assert (directory / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("directory", PLUGINS, ids=by_name)
def test_a_plugin_is_named_by_its_directory(directory: Path):
    name = directory.name
    group = "stonechat.plugins"
    check(directory, f"stonechat-{dashed(name)}", f"stonechat_{name}", group, "Plugin")


@pytest.mark.parametrize("directory", BACKENDS, ids=by_name)
def test_an_auth_backend_is_named_by_its_directory(directory: Path):
    name = directory.name
    group = "stonechat.auth_backends"
    package = f"stonechat_auth_{name}"
    check(directory, f"stonechat-auth-{dashed(name)}", package, group, "Backend")


def dashed(name: str) -> str:
    """As distributions spell what Python and the configuration write with an underscore."""
    return name.replace("_", "-")


def check(directory: Path, name: str, package: str, group: str, kind: str) -> None:
    own = settings(directory)
    assert own["metadata"]["name"] == name
    assert own["metadata"]["version"] == VERSION
    assert f"stonechat=={VERSION}" in own["options"]["install_requires"].split()
    declared = own["options.entry_points"][group].strip()
    assert declared == f"{directory.name} = {package}:{kind}"
    assert (directory / "src" / package / "__init__.py").is_file()


def test_the_editable_set_is_everything():
    text = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    listed = [line.removeprefix("-e ") for line in text.splitlines() if line.startswith("-e ")]
    everything = [f"./{path.relative_to(ROOT).as_posix()}" for path in DISTRIBUTIONS]
    assert sorted(listed) == sorted(everything)


def test_import_linter_watches_every_package():
    assert set(SHARED["importlinter"]["root_packages"].split()) == {
        "stonechat",
        *PACKAGES,
        *LIBRARIES,
    }
    independence = SHARED["importlinter:contract:independence"]
    assert set(independence["modules"].split()) == PACKAGES


def test_the_advice_to_install_a_plugin_knows_every_one():
    for kind, directories in (("plugin", PLUGINS), ("auth", BACKENDS)):
        known = plugin_loader._OURS[kind]
        assert known == {path.name: settings(path)["metadata"]["name"] for path in directories}


def test_the_umbrella_asks_for_distributions_that_exist():
    known = {settings(path)["metadata"]["name"] for path in DISTRIBUTIONS}
    wanted = SHARED["options"]["install_requires"].split()
    assert {requirement.partition("==")[0] for requirement in wanted} <= known
    assert {requirement.partition("==")[2] for requirement in wanted} == {VERSION}
