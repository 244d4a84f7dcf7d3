"""Two servers that are processes examine each other, and themselves."""

import json
import re
import subprocess
import sys

import pytest

from stonechat.net.certificates import write_self_signed
from stonechat.testing import ServerProcess
from stonechat.testing.process import LOCALHOST

CAPULET, MONTAGUE = "capulet.example", "montague.example"
DEADLINE = 30


class Verona:
    """Two servers whose authorities are their own certificates, as far as `believed`."""

    def __init__(self, directory, dns_server, believed):
        self.directory = directory
        pem = []
        for domain in (CAPULET, MONTAGUE):
            write_self_signed([domain], *self.files(domain))
            pem += [self.files(domain)[0].read_text()] if domain in believed else []
        (directory / "authorities.pem").write_text("".join(pem))
        self.dns_server = dns_server
        self.capulet, self.montague = map(self.make, (CAPULET, MONTAGUE))
        ports = {CAPULET: self.capulet.ports, MONTAGUE: self.montague.ports}
        dns_server.publish(
            {
                f"_xmpp{kind}-server._tcp.{domain}": f"SRV 0 5 {ports[domain][number]} here"
                for domain in ports
                for number, kind in ((1, ""), (2, "s"))
            }
            | {"here": f"A {LOCALHOST}"}
        )

    def files(self, domain):
        return self.directory / f"{domain}.pem", self.directory / f"{domain}.key"

    def make(self, domain):
        chain, key = map(str, self.files(domain))
        process = ServerProcess(
            self.directory / domain,
            {
                "hosts": {domain: {"certificate": {"chain": chain, "key": key}}},
                "listen": [
                    {"type": "c2s"},
                    {"type": "s2s"},
                    {"type": "s2s", "tls": "direct"},
                ],
                "dns": {"servers": [self.dns_server.address]},
                "federation": {"ca_file": str(self.directory / "authorities.pem")},
                "plugins": {"s2s_doctor": {}},
            },
        )
        process.start()
        return process

    def kill(self):
        self.capulet.kill()
        self.montague.kill()


@pytest.fixture
def verona(tmp_path, dns_server, request):
    verona = Verona(tmp_path, dns_server, getattr(request, "param", (CAPULET, MONTAGUE)))
    yield verona
    verona.kill()


def help_text(process, *words):
    """What a group of commands says of itself where the configuration lies."""
    command = [sys.executable, "-m", "stonechat.cli", *words]
    done = subprocess.run(
        command,
        cwd=process.directory,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    return done.stdout


def ask(process, *words):
    return json.loads(process.run("doctor", *words, "--json"))


def test_two_that_get_along_are_told_so(verona):
    rows = ask(verona.capulet, "federation", MONTAGUE, "--host", CAPULET)
    assert {row["verdict"] for row in rows} == {"ok"}
    assert [row["code"] for row in rows if row["step"] == "authentication"] == ["external"] * 2
    assert rows[-1]["found"].endswith("with our certificate")
    # As text it is a table, with a line for each.
    text = verona.capulet.run("doctor", "federation", MONTAGUE)
    assert re.search(r"^outcome +montague\.example +ok ", text, re.MULTILINE)
    assert len(text.splitlines()) == len(rows) + 1
    # Nobody has proven anything, and nothing of it is left.
    for process in (verona.capulet, verona.montague):
        assert not [r for r in process.records if r["event"] == "domain authorized"]
        assert process.faults == []
    assert ask(verona.capulet, "federation", MONTAGUE)[1]["code"] == "no-stream"


def test_a_domain_of_ours_is_seen_as_others_see_it(verona):
    rows = ask(verona.capulet, "federation", CAPULET)
    assert rows[0]["code"] == "served-here"
    assert {row["verdict"] for row in rows} == {"ok"}
    assert [row["step"] for row in rows].count("tls") == 2


@pytest.mark.parametrize("verona", [(MONTAGUE,)], indirect=True)
def test_who_is_not_believed_is_told_so_on_either_side(verona):
    rows = ask(verona.capulet, "federation", MONTAGUE)
    # It ends the stream as soon as it knows who we are not.
    assert "stream-error" in {row["code"] for row in rows if row["step"] == "stream"}
    assert "the certificate cannot be trusted" in rows[-1]["found"]
    [own] = [row for row in rows if row["step"] == "own-certificate"]
    assert (own["code"], own["verdict"]) == ("self-signed", "failed")
    rows = ask(verona.montague, "federation", CAPULET)
    assert {row["code"] for row in rows if row["step"] == "certificate"} == {"self-signed"}
    assert rows[-1]["code"] == "cannot-speak"


def test_our_own_tls_is_examined_on_every_listener(verona):
    rows = ask(verona.capulet, "tls")
    assert {row["verdict"] for row in rows} == {"ok"}
    assert len([row for row in rows if row["step"] == "listener"]) == 3
    assert verona.capulet.faults == []


def test_both_are_words_of_one_command(verona):
    text = help_text(verona.capulet, "doctor", "--help")
    assert re.search(r"^  federation +Examine ", text, re.MULTILINE)
    assert re.search(r"^  tls +Examine ", text, re.MULTILINE)
    assert "doctor-" not in help_text(verona.capulet, "--help")
    done = verona.capulet.command("doctor", "federatoin", MONTAGUE)
    assert done.returncode == 2
    assert "The plugins at work have none of this name." in done.stderr


def test_a_renewed_certificate_is_seen_before_it_is_in_use(verona):
    before = verona.files(CAPULET)[0].read_text()
    for path in verona.files(CAPULET):
        path.unlink()
    write_self_signed([CAPULET], *verona.files(CAPULET))
    assert verona.files(CAPULET)[0].read_text() != before
    rows = ask(verona.capulet, "tls")
    assert [row["code"] for row in rows if row["step"] == "files"] == ["not-in-use"]
