"""PAM of the machine: what its modules say, and that none of them holds the server up."""

import os
import subprocess
import sys
from select import select

import gevent
import pytest

from stonechat.auth import AuthUnavailable
from stonechat.errors import ConfigError, StorageError
from stonechat.testing import AuthBackendContract, until
from stonechat_auth_pam import Backend, Options, wire

ACCOUNT = "account required pam_permit.so"
PASSWORD = "R0m30 & Juliet"


class Bystander:
    """A plugin that lends its host, as any third party has one."""

    def __init__(self, host, options):
        self.host = host


@pytest.fixture
def host(server):
    host = server.host("capulet.example", plugin_classes={"bystander": Bystander})
    face = host.plugin("bystander").host
    face.storage.ensure(Backend.schema)
    return face


@pytest.fixture
def make(host):
    backends = []

    def make(service, **options):
        backend = Backend(host, Options(service=service, **options))
        backends.append(backend)
        backend.start()
        return backend

    yield make
    for backend in backends:
        backend.stop()


class TestPam(AuthBackendContract):
    @pytest.fixture
    def backend(self, make, pam_service, user_database):
        database = user_database(juliet=self.password)
        return make(pam_service(database, ACCOUNT), existence="logins")

    @pytest.fixture
    def account(self, backend):
        assert backend.check_password(self.localpart, self.password)
        return self.localpart


# What modules say


@pytest.mark.parametrize("password", ["with:colon", " at both ends ", "пароль", "😀", "x" * 200])
def test_a_module_gets_the_password_as_it_is(make, pam_service, user_database, password):
    backend = make(pam_service(user_database(juliet=password), ACCOUNT))
    assert backend.check_password("juliet", password)
    assert not backend.check_password("juliet", password[1:])


def test_an_account_that_may_not_be_used_now_is_refused(server, make, pam_service, user_database):
    database = user_database(juliet=PASSWORD)
    backend = make(pam_service(database, "account required pam_deny.so"))
    assert not backend.check_password("juliet", PASSWORD)
    (record,) = server.logged("PAM has refused a login")
    assert record["account"] == "juliet"
    assert "PAM code" in record["reason"]
    assert PASSWORD not in str(server.logged())


def test_users_can_be_known_by_their_addresses(make, pam_service, program, tmp_path):
    seen = tmp_path / "seen"
    service = pam_service(program(f'echo "$PAM_USER $(cat)" > {seen}'), ACCOUNT)
    assert make(service, user="jid").check_password("juliet", PASSWORD)
    assert seen.read_text() == f"juliet@capulet.example {PASSWORD}\n"
    assert make(service).check_password("juliet", PASSWORD)
    assert seen.read_text() == f"juliet {PASSWORD}\n"


def test_a_program_that_says_no_is_a_no(make, pam_service, program):
    backend = make(pam_service(program("exit 1"), ACCOUNT))
    assert not backend.check_password("juliet", PASSWORD)


@pytest.mark.parametrize("module", ["pam_of_nobody.so", "pam_debug.so auth=authinfo_unavail"])
def test_a_module_that_cannot_tell_is_not_a_no(make, pam_service, module):
    backend = make(pam_service(f"auth required {module}", ACCOUNT))
    with pytest.raises(AuthUnavailable, match="cannot tell"):
        backend.check_password("juliet", PASSWORD)


def test_the_pause_of_pam_after_a_wrong_password_is_left_out(make, pam_service):
    service = pam_service(
        "auth optional pam_faildelay.so delay=30000000", "auth required pam_deny.so", ACCOUNT
    )
    assert not make(service).check_password("juliet", PASSWORD)
    patient = make(service, keep_delay=True, timeout=0.5)
    with pytest.raises(AuthUnavailable):
        patient.check_password("juliet", PASSWORD)


def test_a_service_that_is_not_there_is_told_of(server, make):
    make("stonechat-of-nobody")
    (record,) = server.logged("PAM has no such service; it asks the service `other` instead")
    assert record["service"] == "stonechat-of-nobody"


def test_a_program_that_is_not_there_stops_the_start(make):
    with pytest.raises(ConfigError, match="there is no program nobody"):
        make("login", command=("nobody", "-n"))


def test_another_program_may_start_the_helper(make, pam_service, program, tmp_path):
    # As sudo does: with what we ask for behind what is configured.
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexec "$@"\n')
    wrapper.chmod(0o755)
    helper = (str(wrapper), sys.executable, "-I", "-m", "stonechat_auth_pam.helper")
    service = pam_service("auth required pam_permit.so", ACCOUNT)
    assert make(service, command=helper).check_password("juliet", PASSWORD)
    assert (tmp_path / "asked").read_text().endswith(f".helper {service} 5\n")


# Who exists


def test_the_machine_knows_its_users(make):
    backend = make("login")
    assert backend.user_exists("root")
    assert not backend.user_exists("rosaline")
    assert not backend.user_exists("x" * 5000)


def test_who_has_logged_in_exists(server, host, make, pam_service, user_database):
    service = pam_service(user_database(juliet=PASSWORD, romeo=PASSWORD), ACCOUNT)
    backend = make(service, existence="logins")
    assert not backend.user_exists("juliet")
    assert not backend.check_password("romeo", "wrong")
    assert backend.check_password("juliet", PASSWORD)
    assert backend.user_exists("juliet")
    again = make(service, existence="logins")
    assert again.user_exists("juliet")
    assert not again.user_exists("romeo")
    assert again.users() == ["juliet"]
    assert again.users("juliet") == []
    assert again.count_users() == 1


def test_a_login_that_cannot_be_noted_is_not_let_in(
    host, make, pam_service, user_database, monkeypatch
):
    backend = make(pam_service(user_database(juliet=PASSWORD), ACCOUNT), existence="logins")

    def fail(*arguments, **options):
        raise StorageError("the disk is gone")

    monkeypatch.setattr(host._kernel.storage, "write", fail)
    with pytest.raises(StorageError):
        backend.check_password("juliet", PASSWORD)


def test_what_it_can_do_follows_from_how_existence_is_found_out(make):
    assert make("login").capabilities == {"check_password", "user_exists"}
    assert make("login", existence="none").capabilities == {"check_password"}
    assert make("login", existence="logins").capabilities == {
        *("check_password", "user_exists", "users", "count_users")
    }


# Slow and hanging modules


def test_checks_go_on_beside_each_other_and_beside_all_else(make, pam_service, program, tmp_path):
    # Each waits for the other, and both for this greenlet.
    lines = (f"touch {tmp_path}/$PAM_USER", f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done")
    backend = make(pam_service(program(*lines), ACCOUNT))
    checks = [gevent.spawn(backend.check_password, name, "x") for name in ("juliet", "romeo")]
    for name in ("juliet", "romeo"):
        until((tmp_path / name).exists, f"check of {name}")
    (tmp_path / "go").touch()
    gevent.joinall(checks, timeout=10)
    assert [check.value for check in checks] == [True, True]


def test_there_are_no_more_helpers_than_may_be(make, pam_service):
    backend = make(pam_service("auth required pam_permit.so", ACCOUNT), helpers=2)
    checks = [gevent.spawn(backend.check_password, f"user{n}", "x") for n in range(20)]
    gevent.joinall(checks, timeout=20)
    assert all(check.value for check in checks)
    assert 1 <= len(backend._pool.pids) <= 2


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_module_that_hangs_is_ended_with_all_that_it_has_started(
    server, make, pam_service, program, tmp_path
):
    hanging = program(
        f"[ -e {tmp_path}/well ] && exit 0", f"echo $$ > {tmp_path}/pid", "exec sleep 60"
    )
    backend = make(pam_service(hanging, ACCOUNT), timeout=1)
    with pytest.raises(AuthUnavailable, match="not answered in 1 s"):
        backend.check_password("juliet", PASSWORD)
    child = int((tmp_path / "pid").read_text())
    until(lambda: not is_alive(child) or is_zombie(child), "end of the hanging program")
    assert backend._pool.pids == []
    (tmp_path / "well").touch()
    # Not at once, or processes would be started as fast as clients log in.
    with pytest.raises(AuthUnavailable, match="replaced soon"):
        backend.check_password("juliet", PASSWORD)
    server.clock.advance(1)
    assert backend.check_password("juliet", PASSWORD)


def is_zombie(pid):
    """Ended, in a container whose first process collects nothing."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_deadline_of_the_kernel_leaves_no_late_answer_behind(server, make, pam_service, program):
    slow = pam_service(program('[ "$PAM_USER" = romeo ] && exec sleep 60', "exit 0"), ACCOUNT)
    backend = make(slow, helpers=1)
    with gevent.Timeout(1.0, False):
        backend.check_password("romeo", PASSWORD)
    server.clock.advance(1)
    assert backend.check_password("juliet", PASSWORD)


def test_a_helper_that_was_killed_is_replaced_unnoticed(make, pam_service):
    backend = make(pam_service("auth required pam_permit.so", ACCOUNT))
    assert backend.check_password("juliet", PASSWORD)
    (pid,) = backend._pool.pids
    os.kill(pid, 9)
    until(lambda: is_zombie(pid), "end of the helper")
    assert backend.check_password("juliet", PASSWORD)
    assert backend._pool.pids != [pid]


def test_who_waits_while_the_backend_stops_gets_an_answer(make, pam_service, program, tmp_path):
    backend = make(pam_service(program(f"touch {tmp_path}/asked", "exec sleep 60"), ACCOUNT))

    def check():
        with pytest.raises(AuthUnavailable):
            backend.check_password("juliet", PASSWORD)
        return True

    waiting = gevent.spawn(check)
    until((tmp_path / "asked").exists, "question")
    backend.stop()
    waiting.join(timeout=5)
    assert waiting.value


def test_a_helper_that_nobody_may_end_ends_itself(pam_service, program, tmp_path):
    # As one that was started by sudo, and is root's.
    service = pam_service(program(f"echo $$ > {tmp_path}/pid", "exec sleep 60"), ACCOUNT)
    helper = subprocess.Popen(
        [sys.executable, "-I", "-m", "stonechat_auth_pam.helper", service, "0.3"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert helper.stdout.read(len(wire.HELLO)) == wire.HELLO
        helper.stdin.write(wire.request(wire.Kind.CHECK, "juliet", PASSWORD))
        helper.stdin.flush()
        assert select([helper.stdout], [], [], 30)[0], "the helper goes on"
        assert helper.stdout.read(1) == b""
        child = int((tmp_path / "pid").read_text())
        until(lambda: not is_alive(child) or is_zombie(child), "end of the hanging program")
    finally:
        os.killpg(helper.pid, 9)
        helper.wait()
        helper.stdin.close()
        helper.stdout.close()


def test_the_server_that_goes_takes_its_helpers_along(make, pam_service):
    backend = make(pam_service("auth required pam_permit.so", ACCOUNT))
    assert backend.check_password("juliet", PASSWORD)
    (pid,) = backend._pool.pids
    (helper,) = backend._pool._helpers
    # What the end of the process does.
    helper._requests.close()
    until(lambda: is_zombie(pid), "end of the helper")
