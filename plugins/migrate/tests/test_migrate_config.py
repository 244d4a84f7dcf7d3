"""ejabberd's configuration becomes one of ours, which is right."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from moves import CAPULET, MemoryShell

from stonechat.shell import ShellError
from stonechat_migrate.shell import IMPORT_CONFIG

EXAMPLE = Path("/usr/share/ejabberd/ejabberd.yml.example")

CONFIGURATION = """\
define_macro:
  'PORT': 5222
  'ADMINS': ["juliet@capulet.example", {romeo: capulet.example}, "@"]
hosts: [capulet.example, "not a domain"]
certfiles: ["certs/*.pem"]
loglevel: 4
language: it
auth_method: [mnesia, ldap]
auth_password_format: plain
resource_conflict: closenew
listen:
  - {port: PORT, ip: "127.0.0.1", module: ejabberd_c2s, starttls_required: true, shaper: c2s}
  - {port: 5223, module: ejabberd_c2s, tls: true, max_stanza_size: 300000}
  - {port: 5224, module: ejabberd_c2s}
  - {port: 5269, module: ejabberd_s2s_in}
  - {port: 8888, module: ejabberd_service}
s2s_use_starttls: optional
acl:
  admin: {user: ADMINS, user_glob: "*"}
access_rules:
  configure: {allow: admin}
  other: [{allow: all}]
shaper_rules: {max_user_sessions: 7, c2s: fast}
sql_type: pgsql
cache_size: 5
mystery: 1
host_config: {capulet.example: {}}
modules:
  mod_carboncopy: {}
  mod_mam: {default: roster, default_page_size: x, db_type: sql}
  mod_muc: {}
  mod_ping: {send_pings: true, ping_interval: 2 minutes, timeout_action: kill}
  mod_roster: {versioning: true}
  mod_s2s_dialback: {}
  mod_stream_mgmt: {resume_timeout: 600}
  mod_vcard: {search: false}
  mod_caps: {}
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A directory with a certificate for the hosts of the family, and its key."""
    directory = tmp_path_factory.mktemp("certs")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "90", "-subj", "/CN=x"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=DNS:*.example"),
            *("-keyout", "a.pem", "-out", "b.pem"),
        ],
        cwd=directory,
        check=True,
        capture_output=True,
    )
    (directory / "c.pem").write_text("no certificate")
    return directory


@pytest.fixture
def directory(certificate, tmp_path):
    shutil.copytree(certificate, tmp_path / "certs")
    return tmp_path


def convert(directory, text):
    source, target = directory / "ejabberd.yml", directory / "stonechat.yml"
    source.write_text(text)
    shell = MemoryShell(None)
    status = IMPORT_CONFIG.function(shell, str(source), str(target))
    (report,) = shell.shown
    return status, report, target


def check(target):
    """Say what `stonechat check-config` says."""
    return subprocess.run(
        [sys.executable, "-m", "stonechat.cli", "check-config", "--config", target],
        capture_output=True,
        text=True,
        check=False,
        cwd=target.parent,
    )


def read(target):
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(target.read_text())


def test_what_has_a_counterpart_is_taken_over(directory):
    status, report, target = convert(directory, CONFIGURATION)
    done = check(target)
    assert done.returncode == 0, done.stdout + done.stderr
    document = read(target)
    certificate = document["hosts"].pop(CAPULET)["certificate"]
    assert (Path(certificate["chain"]).name, Path(certificate["key"]).name) == ("b.pem", "a.pem")
    assert document == {
        "data_dir": "data",
        "hosts": {},
        "listen": [
            {"type": "c2s", "address": "127.0.0.1", "port": 5222, "starttls": "required"},
            {"type": "c2s", "address": "::", "port": 5223, "tls": "direct"},
            {"type": "c2s", "address": "::", "port": 5224, "starttls": "required"},
            {"type": "s2s", "address": "::", "port": 5269},
        ],
        "auth": ["internal"],
        "auth_options": {"internal": {"store": "plain"}},
        "plugins": {
            "carbons": {},
            "dialback": {},
            "disco": {},
            "mam": {"default": "roster"},
            "migrate": {},
            "ping": {"interval": "2 min"},
            "roster": {},
            "sm": {"resume_for": "600 s"},
            "vcard": {"search_domain": None},
        },
        "access": {"admin": {"users": ["juliet@capulet.example", "romeo@capulet.example"]}},
        "federation": {"enabled": True, "trust": "dialback"},
        "limits": {
            "stanza_bytes": 300000,
            "sessions_per_account": 7,
            "resource_conflict": "refuse",
        },
        "log": {"level": "info"},
        "language": "it",
    }
    assert status == 4
    assert {row["option"] for row in report["no_counterpart"]} == {
        "acl: admin: @",
        "acl: admin: user_glob",
        "auth_method: ldap",
        "host_config",
        "hosts: not a domain",
        "listen 5: ejabberd_service",
        "modules: mod_mam: default_page_size",
        "modules: mod_muc",
        "modules: mod_ping: timeout_action",
        "mystery",
    }
    assert {row["option"] for row in report["to_be_looked_at"]} == {
        "access_rules: other",
        "auth_method: accounts in Mnesia",
        "listen 1: ejabberd_c2s: shaper",
        "listen 3: ejabberd_c2s: starttls",
        "shaper_rules: c2s",
        "sql_type",
    }
    assert {row["option"] for row in report["not_needed"]} == {"cache_size", "modules: mod_caps"}


@pytest.mark.skipif(not EXAMPLE.exists(), reason="ejabberd is not installed")
def test_debian_s_own_configuration_becomes_one_that_is_right(directory):
    text = EXAMPLE.read_text().replace("- localhost", f"- {CAPULET}")
    text = text.replace("/etc/ejabberd/ejabberd.pem", "certs/*.pem")
    _, report, target = convert(directory, text)
    done = check(target)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "modules: mod_muc" in {row["option"] for row in report["no_counterpart"]}


def test_a_host_without_a_certificate_is_named(directory):
    _, report, _ = convert(directory, "hosts: [other.org]\ncertfiles: [certs/*.pem]\n")
    assert [row["option"] for row in report["no_counterpart"]] == ["certfiles: other.org"]


def test_nothing_is_overwritten(directory):
    convert(directory, CONFIGURATION)
    with pytest.raises(ShellError, match="already"):
        convert(directory, CONFIGURATION)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [",
        "just text",
        "a: 1",
        "hosts: !!python/object/apply:os.system [x]",
        "define_macro: {A: B, B: A}\nhosts: [A]",
    ],
)
def test_what_is_no_configuration_of_ejabberd_ends_the_command(directory, text):
    with pytest.raises(ShellError):
        convert(directory, text)
    assert not (directory / "stonechat.yml").exists()
