"""A PAM service of the machine's own, for as long as a test."""

import os
import secrets
import subprocess
from pathlib import Path

import pytest

FOLDER = Path("/etc/pam.d")


@pytest.fixture
def pam_service():
    """Writes a service: `pam_service("auth required pam_permit.so")`; returns its name.

    Only root can; elsewhere the test is skipped, or fails where everything has to run.
    """
    if os.geteuid() != 0 or not FOLDER.is_dir():
        reason = "only root can write a PAM service"
        if os.environ.get("STONECHAT_REQUIRE_SERVERS"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    files = []

    def write(*lines):
        file = FOLDER / f"stonechat-test-{secrets.token_hex(8)}"
        files.append(file)
        file.write_text("\n".join(lines) + "\n")
        return file.name

    try:
        yield write
    finally:
        for file in files:
            file.unlink()


@pytest.fixture
def user_database(tmp_path):
    """Writes a database for pam_userdb; returns the line that asks it."""

    def write(**passwords):
        lines = "".join(f"{name}\n{password}\n" for name, password in passwords.items())
        subprocess.run(
            ["db_load", "-T", "-t", "hash", str(tmp_path / "users.db")],
            input=lines.encode(),
            check=True,
        )
        return f"auth required pam_userdb.so db={tmp_path / 'users'} crypt=none"

    return write


@pytest.fixture
def program(tmp_path):
    """Writes a program for pam_exec; returns the line that runs it."""

    def write(*lines):
        file = tmp_path / f"program-{secrets.token_hex(4)}"
        file.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
        file.chmod(0o755)
        return f"auth required pam_exec.so quiet expose_authtok {file}"

    return write
