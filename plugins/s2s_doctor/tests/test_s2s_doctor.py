"""The command of the federation doctor: what it shows, to whom, and the advice that it has."""

import re
from typing import get_args

import pytest

from stonechat.commands import CommandError
from stonechat.errors import StanzaError
from stonechat.examination import Code, Finding
from stonechat.forms import Field, Form
from stonechat.jid import JID
from stonechat.stanza import Element
from stonechat_s2s_doctor.advice import _IN_STEP, ADVICE, advice_on

HOST, REMOTE = "capulet.example", "montague.example"
NS_COMMANDS = "http://jabber.org/protocol/commands"
NODE = "stonechat:doctor-federation"

WELL = {
    "allowed",
    "served-here",
    "streams",
    "no-stream",
    "records",
    "no-records",
    "refused-by-record",
    "own-address",
    "addresses",
    "connected",
    "opened",
    "encrypted",
    "trusted",
    "features",
    "external",
    "dialback",
    "can-speak",
}


@pytest.fixture
def capulet(server, dns_server):
    """It federates, and its name server knows nobody."""
    server.configure(
        federation={"enabled": True},
        dns={"servers": [dns_server.address]},
        access={"admin": {"users": [f"nurse@{HOST}"]}},
    )
    return server.host(HOST, s2s_doctor={}, adhoc={})


def run(capulet, caller, domain=REMOTE):
    host = capulet.plugin("s2s_doctor").host
    return host.run_command("doctor-federation", JID.parse(caller), domain=domain)


# What is shown


def test_each_step_has_its_verdict_and_advice_where_it_is_not_well(server, capulet):
    rows = server.command("doctor-federation", domain=REMOTE)
    assert {row["verdict"] for row in rows} == {"ok", "failed", "skipped"}
    for row in rows:
        assert set(row) == {"step", "target", "verdict", "code", "found", "advice"}
        assert row["found"]
        assert bool(row["advice"]) is (row["verdict"] != "ok")
    by_step = {row["step"]: row for row in rows}
    assert by_step["policy"]["found"] == "it may be spoken to; trust: require"
    assert by_step["addresses"]["code"] == "no-address"
    assert by_step["tls"]["verdict"] == "skipped"
    assert by_step["outcome"]["advice"] == "Begin with the first step that failed."


def test_a_port_where_nobody_listens_is_shown_with_its_address(server, capulet, dns_server):
    dns_server.publish(
        {f"_xmpps-server._tcp.{REMOTE}": "SRV 0 0 1 xmpp.example", "xmpp.example": "A 127.0.0.1"}
    )
    rows = server.command("doctor-federation", domain=REMOTE)
    [connect] = [row for row in rows if row["step"] == "connect"]
    assert connect["target"] == "xmpp.example port 1, direct TLS at 127.0.0.1"
    assert (connect["verdict"], connect["code"]) == ("failed", "connection-refused")
    assert connect["advice"].startswith("Nobody listens there")


def test_what_is_no_domain_is_refused(server, capulet):
    with pytest.raises(CommandError, match="domain"):
        server.command("doctor-federation", domain="romeo@montague.example")


def test_the_host_that_looks_can_be_chosen(server, capulet):
    server.host("verona.example", s2s_doctor={})
    server.configure(
        hosts={
            HOST: {"plugins": {"s2s_doctor": {}, "adhoc": {}}},
            "verona.example": {"plugins": {"s2s_doctor": {}}, "federation": {"enabled": False}},
        }
    )
    codes = {
        host: server.command("doctor-federation", domain=REMOTE, host=host)[0]["code"]
        for host in (HOST, "verona.example")
    }
    assert codes == {HOST: "allowed", "verona.example": "not-federated"}


# To whom


def test_an_administrator_of_the_node_may_ask(capulet):
    assert run(capulet, f"nurse@{HOST}/house")[-1]["code"] == "cannot-speak"


def test_nobody_else_may(capulet):
    with pytest.raises(StanzaError) as refusal:
        run(capulet, f"juliet@{HOST}/balcony")
    assert refusal.value.condition == "forbidden"


def test_an_administrator_of_the_host_alone_may_not_look_around_from_it(server, dns_server):
    server.configure(dns={"servers": [dns_server.address]})
    rule = {"access": {"admin": {"users": [f"juliet@{HOST}"]}}, "plugins": {"s2s_doctor": {}}}
    server.configure(hosts={HOST: rule})
    capulet = server.host(HOST)
    with pytest.raises(StanzaError) as refusal:
        run(capulet, f"juliet@{HOST}/balcony")
    assert refusal.value.condition == "forbidden"
    assert dns_server.queries == []


def test_it_is_a_command_in_the_administrators_client_too(capulet):
    nurse = capulet.connect(f"nurse@{HOST}/house")
    form = nurse.set(Element(NS_COMMANDS, "command", {"node": NODE}), to=HOST).payload
    done = Element(
        NS_COMMANDS,
        "command",
        {"node": NODE, "sessionid": form.get("sessionid"), "action": "complete"},
        Form("submit", fields=[Field("domain", values=(REMOTE,))]).to_element(),
    )
    answer = nurse.set(done, to=HOST).payload
    text = str(answer)
    assert "no-address" in text
    assert ADVICE["cannot-speak"] in text


# Advice


def test_there_is_advice_on_all_that_is_not_well():
    advised = set(ADVICE) | {code for _, code in _IN_STEP}
    assert advised | WELL == set(get_args(Code))
    assert not advised & WELL


@pytest.mark.parametrize("text", sorted({*ADVICE.values(), *_IN_STEP.values()}))
def test_advice_is_one_sentence(text):
    assert text.endswith(".")
    assert not re.search(r"[.!?] [A-Z]", text)


def test_our_own_certificate_is_ours_to_mend():
    theirs = Finding("certificate", REMOTE, "failed", "expired", "it has expired")
    ours = theirs._replace(step="own-certificate", target=HOST)
    assert "Their certificate" in advice_on(theirs)
    assert "Their certificate" not in advice_on(ours)


def test_what_is_well_needs_no_advice():
    assert advice_on(Finding("tls", REMOTE, "ok", "encrypted", "TLSv1.3")) == ""
