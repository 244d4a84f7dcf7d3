"""Real logins at a server whose accounts a program keeps, also while that goes wrong."""

import os
import sys
import time
from pathlib import Path

import pytest

from stonechat.testing import LoginFailed, until

HOST = "capulet.example"
HERE = Path(__file__).parent
SAMPLE = HERE.parent / "examples" / "accounts.py"
FAULTY = HERE / "faulty_program.py"
PASSWORD = "R0m30:Juliet:любовь"


def serve(stonechat_process, *words, auth=("external",), **options):
    return stonechat_process(
        {
            "hosts": {HOST: {}},
            "auth": list(auth),
            "auth_options": {
                "external": {"command": [sys.executable, *map(str, words)], **options}
            },
            "plugins": {"offline": {}, "ping": {}, "register": {}},
        }
    )


def login(slixmpp, process, name, password=PASSWORD):
    return slixmpp.login(process, f"{name}@{HOST}/balcony", password=password)


def refusal(slixmpp, process, name, password=PASSWORD):
    """The SASL condition by which a login is refused."""
    stranger = slixmpp.client(process, f"{name}@{HOST}/street", password=password)
    stranger.note("failed_auth")
    with pytest.raises(LoginFailed):
        stranger.connect()
    return stranger.wait_event("failed_auth")[1]["condition"]


def children(process):
    """The pids of the programs that a server runs."""
    pids = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process.pid and fields[0] != "Z":
            pids.append(int(path.parent.name))
    return sorted(pids)


def test_accounts_live_their_lives_in_the_program(stonechat_process, slixmpp):
    process = serve(stonechat_process, SAMPLE, instances=1)
    process.register(f"juliet@{HOST}", f"romeo@{HOST}", password=PASSWORD)
    romeo = login(slixmpp, process, "romeo")
    juliet = login(slixmpp, process, "juliet")
    assert juliet.xmpp.plugin["feature_mechanisms"].mech.name == "PLAIN"
    assert refusal(slixmpp, process, "juliet", "P4r1s") == "not-authorized"
    assert refusal(slixmpp, process, "rosaline") == "not-authorized"

    # Who exists gets messages later, and who does not gets none.
    juliet.leave()
    romeo.say(f"juliet@{HOST}", "She speaks")
    romeo.say(f"rosaline@{HOST}", "Forgotten")
    assert romeo.error_of(romeo.message()).condition == "service-unavailable"
    juliet = login(slixmpp, process, "juliet")
    juliet.available()
    assert juliet.message()["body"] == "She speaks"

    process.run("change-password", f"juliet@{HOST}", "--password-stdin", stdin="a new:one\n")
    assert refusal(slixmpp, process, "juliet") == "not-authorized"
    process.run("unregister", f"romeo@{HOST}")
    assert refusal(slixmpp, process, "romeo") == "not-authorized"
    pids = children(process)
    assert len(pids) == 1
    assert process.stop() == 0
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "end of the program")
    assert process.faults == []
    assert PASSWORD not in process.log


def test_a_program_stands_behind_the_accounts_of_the_server(stonechat_process, slixmpp):
    process = serve(stonechat_process, FAULTY, "notes", auth=("internal", "external"))
    process.register(f"prince@{HOST}", password=PASSWORD)
    assert login(slixmpp, process, "prince").bare == f"prince@{HOST}"
    assert login(slixmpp, process, "mercutio", "R0m30 & Juliet").bare == f"mercutio@{HOST}"
    assert "mercutio" in (process.directory / "notes").read_text()


def test_a_child_that_is_killed_or_hangs_costs_the_logins_that_asked_it(
    stonechat_process, slixmpp
):
    process = serve(
        stonechat_process, FAULTY, "notes", auth=("internal", "external"), instances=2, timeout=1
    )
    process.register(f"prince@{HOST}", password=PASSWORD)
    prince = login(slixmpp, process, "prince")
    before = until(lambda: len(found := children(process)) == 2 and found, "two children")
    for pid in before:
        os.kill(pid, 9)
    # Not by a clock of ours: until the program answers again.
    until(
        lambda: len(found := children(process)) == 2 and not set(found) & set(before),
        "two new children",
    )
    assert login(slixmpp, process, "benvolio", "R0m30 & Juliet")

    begun = time.monotonic()
    assert refusal(slixmpp, process, "hang") == "temporary-auth-failure"
    # R7: it would be 600 s.
    assert time.monotonic() - begun < 60
    assert refusal(slixmpp, process, "die") == "temporary-auth-failure"
    # Who is here does not feel it.
    prince.sync()
    until(lambda: len(children(process)) == 2, "two children again")
    assert login(slixmpp, process, "balthasar", "R0m30 & Juliet")
    assert [record["event"] for record in process.faults] == ["the program failed"]


def test_a_server_that_is_killed_leaves_no_program_behind(stonechat_process):
    process = serve(stonechat_process, FAULTY, "notes", instances=2)
    pids = until(lambda: len(found := children(process)) == 2 and found, "two children")
    process.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "end of the programs")


def test_a_program_that_cannot_be_run_stops_the_start(stonechat_process):
    with pytest.raises(AssertionError, match=r"there is no program .*nobody"):
        stonechat_process(
            {
                "hosts": {HOST: {}},
                "auth": ["external"],
                "auth_options": {"external": {"command": "./nobody"}},
            }
        )
