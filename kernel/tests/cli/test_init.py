"""`stonechat init` and `stonechat check-config`."""

import json
import os
import re

import pytest

from stonechat.cli.app import run
from stonechat.cli.init import FURTHER, STANDARD
from stonechat.cli.offline import load, offline_server
from stonechat.core import plugin_loader
from stonechat.core.config import load_configuration
from stonechat.jid import JID


@pytest.fixture(autouse=True)
def own_log():
    """The commands direct the log of the process, which here is the tests'."""
    import logging

    import structlog

    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers, root.level
    yield
    structlog.configure(**before)
    root.handlers = handlers
    root.setLevel(level)


def check(file, capsys):
    status = run(["check-config", "--config", str(file), "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "host", ["Capulet.Example", "localhost", "münchen.example", "192.0.2.1", "[::1]"]
)
def test_init_writes_a_configuration_that_is_right(tmp_path, capsys, host):
    directory = tmp_path / "new" / "place"
    assert run(["init", "--host", host, "--directory", str(directory), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    domain = result["host"]
    configuration = load_configuration(result["configuration"], plugin_loader.options_of)
    assert list(configuration.hosts) == [domain]
    admin = JID.parse(result["account"])
    assert admin == JID.make("admin", domain)
    assert configuration.hosts[domain].access.allows("admin", admin)
    assert not configuration.hosts[domain].access.allows("registration", admin, "192.0.2.1")
    assert check(directory / "stonechat.yml", capsys) == (
        0,
        {
            "file": str(directory / "stonechat.yml"),
            "valid": True,
            "problems": [],
            "warnings": [],
        },
    )


@pytest.mark.parametrize("host", ["capulet.example", "192.0.2.1", "[::1]"])
def test_every_plugin_of_a_first_configuration_is_there_and_starts(tmp_path, capsys, host):
    assert run(["init", "--host", host, "--directory", str(tmp_path)]) == 0
    capsys.readouterr()
    with offline_server(load(tmp_path / "stonechat.yml")) as server:
        plugins = server.hosts[host].plugins
        assert plugins.quarantined == {}
        assert list(plugins.running) == list(STANDARD)


def test_a_first_configuration_reads_in_the_order_in_which_it_is_explained(tmp_path, capsys):
    assert run(["init", "--host", "capulet.example", "--directory", str(tmp_path)]) == 0
    capsys.readouterr()
    text = (tmp_path / "stonechat.yml").read_text()
    lines = re.findall(r"^  (# )?(\w+): \{.*\}  # (.+)$", text, re.MULTILINE)
    assert [(name, sentence) for _, name, sentence in lines] == [
        *STANDARD.items(),
        *FURTHER.items(),
        ("registration", "everybody may make an account with a client"),
    ]
    assert [name for mark, name, _ in lines if mark] == [*FURTHER, "registration"]
    assert max(map(len, text.splitlines())) <= 99


def test_reports_of_abuse_go_to_the_administrator(tmp_path, capsys):
    assert run(["init", "--host", "capulet.example", "--directory", str(tmp_path)]) == 0
    capsys.readouterr()
    configuration = load_configuration(tmp_path / "stonechat.yml", plugin_loader.options_of)
    blocking = configuration.hosts["capulet.example"].plugins["blocking"].options
    assert blocking.report_to == (JID.parse("admin@capulet.example"),)


@pytest.mark.parametrize(
    ("host", "is_federated"),
    [
        ("capulet.example", True),
        ("münchen.example", True),
        ("localhost", False),
        ("capulet.localhost", False),
        ("capulet", False),
        ("192.0.2.1", False),
        ("[2001:db8::1]", False),
    ],
)
def test_a_host_that_others_can_find_speaks_to_other_servers(tmp_path, capsys, host, is_federated):
    assert run(["init", "--host", host, "--directory", str(tmp_path)]) == 0
    capsys.readouterr()
    configuration = load_configuration(tmp_path / "stonechat.yml", plugin_loader.options_of)
    assert [o.port for o in configuration.listeners if o.type == "s2s"] == [5269] * is_federated
    [settings] = configuration.hosts.values()
    assert (settings.federation.enabled, settings.federation.trust) == (is_federated, "require")
    assert "{type: s2s, port: 5269}" in (tmp_path / "stonechat.yml").read_text()


def test_what_is_secret_is_for_the_owner_alone(tmp_path, capsys):
    assert run(["init", "--host", "capulet.example", "--directory", str(tmp_path)]) == 0
    files = ("stonechat.yml", "certs/capulet.example.key", "data/stonechat.db")
    for name in files:
        assert (tmp_path / name).stat().st_mode & 0o077 == 0
    password = re.search(r"^Password: +(\S+)$", capsys.readouterr().out, re.MULTILINE)[1]
    assert re.fullmatch(r"([a-z2-9]{5}-){3}[a-z2-9]{5}", password)
    assert password.encode() not in (tmp_path / "data/stonechat.db").read_bytes()


def test_a_plugin_that_is_not_installed_is_left_to_be_installed(tmp_path, capsys, monkeypatch):
    installed = plugin_loader.installed

    def some(kind):
        return {n: p for n, p in installed(kind).items() if n in ("roster", "disco", "internal")}

    monkeypatch.setattr(plugin_loader, "installed", some)
    assert run(["init", "--directory", str(tmp_path)]) == 0
    capsys.readouterr()
    text = (tmp_path / "stonechat.yml").read_text()
    assert "\n  roster: {}" in text
    assert "\n  # offline: {}" in text
    assert "pip install stonechat-offline" in text
    assert "pip install stonechat-shared-roster" in text
    assert check(tmp_path / "stonechat.yml", capsys)[0] == 0


def test_when_it_fails_nothing_is_left_but_the_reason(tmp_path, capsys):
    (tmp_path / "data").write_text("no directory")
    assert run(["init", "--host", "capulet.example", "--directory", str(tmp_path)]) == 1
    assert "data" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["certs", "data"]
    assert os.listdir(tmp_path / "certs") == []


@pytest.mark.parametrize("host", ["", "no spaces", "a@b", "-"])
def test_a_host_that_is_no_domain_is_refused(tmp_path, capsys, host):
    assert run(["init", "--host", host, "--directory", str(tmp_path)]) == 1
    assert "--host" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


# check-config


def write(tmp_path, text):
    file = tmp_path / "stonechat.yml"
    file.write_text(text)
    return file


def test_every_fault_is_told_with_its_place(tmp_path, capsys):
    file = write(tmp_path, "hosts: {capulet.example: {}}\nlissten: []\nlimits: {max_hops: 0}\n")
    assert run(["check-config", "--config", str(file)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second = captured.err.splitlines()
    assert first.startswith(f"{file}:2:1: lissten: is unknown here")
    assert second == f"{file}:3:20: limits.max_hops: must be at least 1"


def test_what_only_the_start_would_find_is_found(tmp_path, capsys):
    text = "hosts: {capulet.example: {certificate: {chain: a.pem}}}\n"
    (tmp_path / "a.pem").write_text("no certificate")
    status, result = check(write(tmp_path, text), capsys)
    assert status == 1
    assert "holds no certificate" in result["problems"][0]
    status, result = check(write(tmp_path, "hosts: {capulet.example: {}}\n"), capsys)
    assert status == 1
    assert "wants TLS, but no host has a certificate" in result["problems"][0]


def test_what_is_no_fault_but_worth_a_word_is_a_warning(tmp_path, capsys):
    from stonechat.net.certificates import write_self_signed

    write_self_signed(["capulet.example"], tmp_path / "a.pem", tmp_path / "a.key", days=5)
    text = (
        "hosts:\n"
        "  capulet.example: {certificate: {chain: a.pem, key: a.key}}\n"
        "  montague.example: {}\n"
    )
    status, result = check(write(tmp_path, text), capsys)
    assert status == 0
    assert result["warnings"] == [
        "capulet.example: the certificate expires in 4 days",
        "montague.example has no certificate of its own",
    ]
