"""slixmpp logs in with a password that PAM checks, over a server that is a process of its own."""

import os

import pytest

from stonechat.testing import LoginFailed, until

ACCOUNT = "account required pam_permit.so"
PASSWORD = "R0m30 & Juliet"


@pytest.fixture
def start(stonechat_process):
    def start(service, auth=("internal", "pam"), **options):
        given = {"pam": {"service": service, "existence": "logins", **options}}
        if "internal" in auth:
            given["internal"] = {"iterations": 4096}
        return stonechat_process(
            {
                "hosts": {"capulet.example": {}},
                "auth": list(auth),
                "auth_options": given,
                "plugins": {"roster": {}, "offline": {}, "sasl2": {}, "fast": {}},
            }
        )

    return start


def login(slixmpp, process, name, password=PASSWORD):
    return slixmpp.available(process, f"{name}@capulet.example/balcony", password=password)


def test_slixmpp_logs_in_by_pam_beside_accounts_of_the_server(
    start, slixmpp, pam_service, user_database
):
    process = start(pam_service(user_database(juliet=PASSWORD), ACCOUNT))
    process.register("romeo@capulet.example", password=PASSWORD)
    romeo = login(slixmpp, process, "romeo")
    # Nobody of that name was here.
    romeo.say("juliet@capulet.example", "Art thou there?")
    assert romeo.message()["type"] == "error"
    juliet = login(slixmpp, process, "juliet")
    juliet.leave()
    romeo.say("juliet@capulet.example", "Wherefore art thou gone?")
    romeo.sync()
    assert login(slixmpp, process, "juliet").message()["body"] == "Wherefore art thou gone?"
    with pytest.raises(LoginFailed):
        login(slixmpp, process, "juliet", "a rose by any other")
    assert process.faults == []


def test_while_a_module_hangs_others_are_served_and_it_recovers(
    start, slixmpp, pam_service, program, tmp_path
):
    lines = (f"[ -e {tmp_path}/well ] && exit 0", f"touch {tmp_path}/asked", "exec sleep 60")
    process = start(pam_service(program(*lines), ACCOUNT), timeout="1 s", helpers=1)
    process.register("romeo@capulet.example", password=PASSWORD)
    with pytest.raises(LoginFailed):
        login(slixmpp, process, "juliet")
    assert (tmp_path / "asked").exists()
    assert "temporary-auth-failure" in process.log
    assert login(slixmpp, process, "romeo").jid == "romeo@capulet.example/balcony"
    (tmp_path / "well").touch()

    def is_well():
        try:
            return login(slixmpp, process, "juliet")
        except LoginFailed:
            return None

    assert until(is_well, "login").bare == "juliet@capulet.example"
    # A server that is killed leaves no helper.
    children = _children(process.pid)
    assert children
    process.kill()
    until(lambda: not any(map(_is_alive, children)), "end of the helpers")


def _children(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as file:
            found += map(int, file.read().split())
    return found


def _is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
