"""The kit's clients and components of slixmpp's, on a server that is a process."""

import os
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from stonechat.errors import StanzaError
from stonechat.testing import LoginFailed, ServerProcess

CAPULET = "capulet.example"
JULIET, ROMEO = f"juliet@{CAPULET}", f"romeo@{CAPULET}"
GATEWAY, SECRET = f"gateway.{CAPULET}", "What's in a name?"

USES_THE_FIXTURE = "def test_it(slixmpp):\n    raise SystemExit('the fixture was there')\n"
RUN_WITHOUT_SLIXMPP = (
    "import sys; sys.modules['slixmpp'] = None; import pytest;"
    " sys.exit(pytest.main(['-rs', '-p', 'no:cacheprovider', '--rootdir', '.', 'test_it.py']))"
)


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    directory = tmp_path_factory.mktemp("server")
    (directory / "gateway.secret").write_text(SECRET)
    component = {"components": [{"domains": [GATEWAY], "secret_file": "gateway.secret"}]}
    process = ServerProcess(
        directory,
        {
            "hosts": {CAPULET: {}},
            "listen": [{"type": "c2s", "starttls": "off"}, {"type": "component"}],
            "allow_plain_without_tls": True,
            "plugins": {"component": component, "disco": {}, "roster": {}},
        },
    )
    process.start()
    process.register(JULIET, ROMEO)
    yield process
    process.kill()


@pytest.fixture
def juliet(process, slixmpp):
    return slixmpp.available(process, f"{JULIET}/balcony")


@pytest.fixture
def romeo(process, slixmpp):
    return slixmpp.available(process, f"{ROMEO}/orchard")


# Coming and going


def test_a_client_logs_in_and_sends_no_presence_unless_it_is_told_to(process, slixmpp, romeo):
    juliet = slixmpp.login(process, f"{JULIET}/balcony")
    assert (juliet.jid, juliet.bare) == (f"{JULIET}/balcony", JULIET)
    chamber = slixmpp.available(process, f"{JULIET}/chamber")
    assert chamber.rest() == []
    juliet.available(status="on the balcony")
    assert chamber.presence(juliet.jid)["status"] == "on the balcony"


def test_presence_that_comes_back_is_taken_out_of_the_line(process, slixmpp, juliet):
    chamber = slixmpp.available(process, f"{JULIET}/chamber")
    assert [stanza["from"].full for stanza in juliet.rest()] == [chamber.jid]
    assert [stanza["from"].full for stanza in chamber.rest()] == [juliet.jid]


def test_a_wrong_password_is_a_failed_login(process, slixmpp):
    process.register(f"tybalt@{CAPULET}")
    with pytest.raises(LoginFailed, match="failed_all_auth"):
        slixmpp.login(
            process, f"tybalt@{CAPULET}/street", password="a rose", sasl_mech="SCRAM-SHA-1"
        )


def test_a_client_leaves_or_vanishes_and_may_come_again(process, slixmpp, juliet):
    chamber = slixmpp.available(process, f"{JULIET}/chamber")
    juliet.rest()
    chamber.leave()
    juliet.presence(chamber.jid, "unavailable")
    chamber = slixmpp.available(process, f"{JULIET}/chamber")
    chamber.vanish()
    juliet.presence(chamber.jid, "unavailable")


def test_an_event_is_waited_for_by_its_name(process, slixmpp, juliet):
    slixmpp.login(process, juliet.jid)
    event, error = juliet.wait_event("session_resumed", "stream_error")
    assert (event, error["condition"]) == ("stream_error", "conflict")


# What comes


def test_what_nobody_asked_for_stays_in_line(juliet, romeo):
    for number in range(3):
        romeo.say(JULIET, str(number))
    romeo.send_raw(f"<message to='{JULIET}' type='headline'><subject>News</subject></message>")
    romeo.sync()
    assert juliet.message("1")["body"] == "1"
    assert juliet.take("news", lambda stanza: stanza["type"] == "headline")["subject"] == "News"
    assert [stanza["body"] for stanza in juliet.rest()] == ["0", "2"]
    assert juliet.rest() == []


def test_what_does_not_come_is_told_with_what_came_instead(juliet, romeo):
    romeo.say(juliet.jid, "But soft!")
    romeo.sync()
    juliet.sync()
    with pytest.raises(AssertionError, match=r"balcony.*: Ay me [\s\S]*But soft!"):
        juliet.take("Ay me", lambda stanza: False, timeout=0.0)


def test_requests_come_into_line_where_they_are_collected(juliet, romeo):
    juliet.collect("{jabber:client}iq/{urn:example:news}news")
    question = romeo.xmpp.make_iq_set(ito=juliet.jid)
    question.append(ET.Element("{urn:example:news}news"))
    answer = romeo.run(lambda: {"future": question.send()})["future"]
    iq = juliet.take("news", lambda stanza: stanza.name == "iq")
    juliet.run(iq.reply().send)

    async def answered():
        return await answer

    assert romeo.run(answered)["type"] == "result"
    # What she asks herself is answered to her, and does not wait in line.
    with pytest.raises(StanzaError):
        juliet.request("get", ET.Element("{urn:example:news}news"), romeo.jid)
    assert juliet.rest() == []


# Doing


def test_a_refused_request_is_a_stanza_error(juliet):
    for ask in (
        lambda: juliet.request("get", ET.Element("{urn:example:news}news"), CAPULET),
        lambda: juliet.call("xep_0030", "get_info", jid=CAPULET, node="no such node"),
    ):
        with pytest.raises(StanzaError) as refused:
            ask()
        assert refused.value.condition in ("service-unavailable", "item-not-found")
        assert refused.value.type == "cancel"


def test_the_error_of_a_message_is_read(juliet):
    juliet.say(f"rosaline@{CAPULET}", "Is she a Capulet?")
    error = juliet.error_of(juliet.message())
    assert (error.condition, error.type) == ("service-unavailable", "cancel")
    juliet.say(JULIET, "Ay me")
    with pytest.raises(AssertionError, match="no error"):
        juliet.error_of(juliet.message())


def test_a_condition_is_read_for_which_slixmpp_has_no_word(juliet):
    stanza = juliet.xmpp.make_message(JULIET)
    error = ET.SubElement(stanza.xml, "{jabber:client}error", {"type": "wait"})
    names = "urn:ietf:params:xml:ns:xmpp-stanzas"
    ET.SubElement(error, f"{{{names}}}text").text = "Not so often."
    ET.SubElement(error, f"{{{names}}}policy-violation")
    found = juliet.error_of(stanza)
    assert (found.condition, found.type, found.text) == (
        *("policy-violation", "wait"),
        "Not so often.",
    )


def test_a_request_that_nobody_answers_fails_the_test(juliet, monkeypatch):
    ping = juliet.xmpp.make_iq_get(ito=CAPULET)
    monkeypatch.setattr(juliet.xmpp, "send", lambda *_, **__: None)
    with pytest.raises(AssertionError, match=r"balcony.* got no answer"):
        juliet.run(lambda: ping.send(timeout=0.01))


def test_features_are_asked_for_and_plugins_take_options(process, slixmpp):
    plugins = {"xep_0092": {"software_name": "Balcony"}}
    juliet = slixmpp.client(process, f"{JULIET}/balcony", plugins=plugins)
    juliet.connect()
    assert "jabber:iq:roster" in juliet.features(CAPULET)
    assert juliet.xmpp.plugin["xep_0092"].software_name == "Balcony"


def test_a_push_is_found_by_what_it_says(juliet, romeo):
    assert juliet.get_roster() == {}
    try:
        for name in ("Montague", "Romeo"):
            juliet.run(lambda name=name: juliet.xmpp.update_roster(ROMEO, name=name))
        assert juliet.push(ROMEO, "none", name="Romeo")["name"] == "Romeo"
        assert juliet.push(ROMEO)["name"] == "Montague"
        assert juliet.get_roster()[ROMEO]["name"] == "Romeo"
        juliet.send_presence(to=ROMEO, type="subscribe")
        romeo.presence(JULIET, "subscribe")
        juliet.push(ROMEO, "none", ask="subscribe")
    finally:
        juliet.run(lambda: juliet.xmpp.update_roster(ROMEO, subscription="remove"))
    juliet.push(ROMEO, "remove")


# Components


def test_a_component_speaks_with_a_client(process, slixmpp, juliet):
    gateway = slixmpp.component(process.ports[1], GATEWAY, SECRET)
    juliet.say(f"romeo@{GATEWAY}", "Wherefore art thou?")
    assert gateway.message()["from"] == juliet.jid
    gateway.send_presence(to=juliet.jid, from_=f"romeo@{GATEWAY}", status="Here")
    assert juliet.presence(f"romeo@{GATEWAY}")["status"] == "Here"
    with pytest.raises(StanzaError) as refused:
        gateway.call("xep_0199", "send_ping", f"rosaline@{CAPULET}/x", ifrom=GATEWAY)
    assert refused.value.condition == "service-unavailable"


def test_a_component_with_another_secret_is_refused(process, slixmpp):
    with pytest.raises(LoginFailed, match="not-authorized"):
        slixmpp.component(process.ports[1], GATEWAY, "Montague")


# Without slixmpp


@pytest.mark.parametrize(
    ("required", "outcome"), [("", "1 skipped"), ("1", "1 error")], ids=["skipped", "required"]
)
def test_without_slixmpp_the_fixture_says_what_to_install(tmp_path, required, outcome):
    (tmp_path / "test_it.py").write_text(USES_THE_FIXTURE)
    done = subprocess.run(
        [sys.executable, "-c", RUN_WITHOUT_SLIXMPP],
        cwd=tmp_path,
        env={**os.environ, "STONECHAT_REQUIRE_SERVERS": required},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert outcome in done.stdout, done.stdout + done.stderr
    assert "slixmpp is not installed: pip install slixmpp" in done.stdout


def test_the_kit_is_there_without_slixmpp():
    code = (
        "import sys; sys.modules['slixmpp'] = None\n"
        "import stonechat.testing as kit\n"
        "kit.ServerProcess, kit.TestServer, kit.Talk, kit.until\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
