"""Logins against a real directory, on a server that is a process of its own."""

from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor

import pytest

from stonechat.namespaces import NS_SASL
from stonechat.testing import LoginFailed, until
from stonechat.testing.slapd import PASSWORD

HOST = "capulet.example"
JULIET, ROMEO, NURSE = (f"{name}@{HOST}" for name in ("juliet", "romeo", "nurse"))
TYBALT = f"tybalt@{HOST}"

HEADER = (
    f"<stream:stream to='{HOST}' version='1.0' xmlns='jabber:client'"
    " xmlns:stream='http://etherx.jabber.org/streams'>"
)

# Robustness promise R5, and a little for the machine.
ANSWER_SECONDS = 6.0


@pytest.fixture
def start(stonechat_process, options_for):
    def start(slapd, auth, **options):
        return stonechat_process(
            {
                "hosts": {HOST: {}},
                "auth": auth,
                # Whatever it says, passwords are not in it.
                "log": {"format": "json", "level": "debug"},
                "auth_options": {
                    "ldap": options_for(slapd, **options),
                    **({"internal": {"iterations": 4096}} if "internal" in auth else {}),
                },
                "plugins": {"roster": {}, "disco": {}, "ping": {}, "offline": {}},
            }
        )

    return start


def answer(process, localpart, password=PASSWORD):
    """What a login by PLAIN is answered with, within the time that is promised."""
    with process.connect(timeout=ANSWER_SECONDS) as stream:
        stream.sendall(HEADER.encode())
        _read(stream, b"</stream:features>")
        response = b64encode(f"\0{localpart}\0{password}".encode()).decode()
        auth = f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{response}</auth>"
        stream.sendall(auth.encode())
        came = _read(stream, b"<success", b"</failure>")
    conditions = ("<success", "temporary-auth-failure", "not-authorized", "policy-violation")
    return next(condition for condition in conditions if condition.encode() in came).strip("<")


def _read(stream, *ends):
    came = b""
    while not any(end in came for end in ends):
        octets = stream.recv(4096)
        assert octets, came
        came += octets
    return came


def test_people_of_the_directory_log_in_and_talk(start, slixmpp, slapd):
    process = start(
        slapd,
        ["ldap"],
        servers=[slapd.url, slapd.tls_url],
        encryption="starttls",
        ca_file=str(slapd.ca_file),
        bind_dn=slapd.admin,
        password_change=True,
        filter="(|(uid=juliet)(uid=romeo))",
    )
    juliet = slixmpp.available(process, f"{JULIET}/balcony", password=PASSWORD)
    # He is not there, but he exists.
    juliet.say(ROMEO, "Art thou not Romeo?")
    juliet.say(NURSE, "Nurse!")
    refused = juliet.take("a refusal", lambda stanza: stanza["type"] == "error")
    assert refused["from"].bare == NURSE
    romeo = slixmpp.available(process, f"{ROMEO}/orchard", password=PASSWORD)
    assert romeo.message()["body"] == "Art thou not Romeo?"
    with pytest.raises(LoginFailed):
        slixmpp.login(process, f"{NURSE}/house", password=PASSWORD)

    process.run("change-password", ROMEO, "--password-stdin", stdin="Wherefore art thou?\n")
    assert answer(process, "romeo") == "not-authorized"
    slixmpp.login(process, f"{ROMEO}/street", password="Wherefore art thou?")
    assert "the directory refuses a password" in process.log
    for secret in (PASSWORD, slapd.password, "Wherefore art thou?"):
        assert secret not in process.log
        assert b64encode(secret.encode()).decode() not in process.log


@pytest.fixture
def at_once():
    with ThreadPoolExecutor(8) as threads:
        yield threads


def test_logins_while_the_directory_stops_hangs_and_starts_again(start, slixmpp, slapd, at_once):
    process = start(slapd, ["internal", "ldap"], timeout="1 s")
    process.register(TYBALT)
    juliet = slixmpp.available(process, f"{JULIET}/balcony", password=PASSWORD)
    romeo = slixmpp.available(process, f"{ROMEO}/orchard", password=PASSWORD)

    def is_up():
        return answer(process, "nurse") == "success" or None

    for end, begin in ((slapd.stop, slapd.start), (slapd.pause, slapd.resume)):
        end()
        # Eight at once, and several times: the first ones find out, the others need not.
        for _ in range(2):
            logins = [at_once.submit(answer, process, "nurse") for _ in range(8)]
            # Whoever is here already notices nothing, and neither does who is elsewhere.
            juliet.say(ROMEO, "Art thou not Romeo?")
            assert romeo.message()["body"] == "Art thou not Romeo?"
            slixmpp.login(process, f"{TYBALT}/street").leave()
            assert {login.result() for login in logins} == {"temporary-auth-failure"}
        begin()
        # Nobody has to do anything.
        until(is_up, "login")
    assert process.is_running
    # A store that is away is not counted against anybody.
    slixmpp.login(process, f"{NURSE}/house", password=PASSWORD)
    lines = [record for record in process.faults if record["event"] == "directory server fails"]
    assert len(lines) == 2
    assert process.stop() == 0


def test_restarts_of_the_directory_break_no_login_that_can_wait(start, slapd):
    process = start(slapd, ["ldap"])
    assert answer(process, "juliet") == "success"
    # All connections are gone, and nobody sees a difference.
    for _ in range(3):
        slapd.stop()
        slapd.start()
        assert answer(process, "juliet") == "success"
