"""The Authoritative Server: others ask whether a key is one of ours."""

import pytest
from dialback_cast import CAPULET, CHAT, KEY, MONTAGUE, TYBALT, answer, said, verify

from stonechat.namespaces import NS_DIALBACK
from stonechat_dialback.elements import FEATURE


@pytest.fixture
def key(montague, juliet):
    """One that we have shown to the Montagues, on the stream s1."""
    juliet.message(f"romeo@{MONTAGUE}", "Wherefore art thou?")
    stream = montague.accept_secure(FEATURE)
    return stream.receive_element().text


@pytest.fixture
def asker(montague, capulet):
    """A stream that has proven nothing."""
    return montague.connect(capulet)


def test_the_right_key_is_ours(asker, key):
    asker.send(verify(key, id="s1"))
    valid = asker.receive_element()
    assert (valid.namespace, valid.name) == (NS_DIALBACK, "verify")
    wanted = {"from": CAPULET, "to": MONTAGUE, "id": "s1", "type": "valid"}
    assert dict(valid.attributes) == wanted
    assert not valid.children


def test_a_key_may_be_indented(asker, key):
    asker.send(verify(f"\n    {key}\n  ", id="s1"))
    assert answer(asker) == "valid"


def test_it_is_answered_as_it_was_asked(asker, key):
    asker.send(verify(key, id="s1", from_="Montague.Example", to="CAPULET.example."))
    valid = asker.receive_element()
    assert (said(valid), valid.get("from"), valid.get("to")) == (
        "valid",
        "CAPULET.example.",
        "Montague.Example",
    )


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"id": "s2"}, id="the id of another stream"),
        pytest.param({"from_": TYBALT}, id="another server that was shown it"),
        pytest.param({"from_": CAPULET, "to": CAPULET}, id="ourselves"),
    ],
)
def test_a_key_for_something_else_is_not(asker, key, changes):
    asker.send(verify(key, **{"id": "s1", **changes}))
    assert answer(asker) == "invalid"


@pytest.mark.parametrize("key", ["", KEY, "é", "x" * 5000])
def test_a_key_that_we_have_not_made_is_not(asker, key):
    asker.send(verify(key))
    assert answer(asker) == "invalid"


def test_of_a_domain_that_is_not_ours_we_know_nothing(asker, key):
    asker.send(verify(key, id="s1", to=TYBALT))
    refusal = asker.receive_element()
    assert said(refusal) == "item-not-found"
    assert (refusal.get("from"), refusal.get("to"), refusal.get("id")) == (TYBALT, MONTAGUE, "s1")
    # Others may use the stream yet.
    asker.send(verify(key, id="s1"))
    assert answer(asker) == "valid"


def test_a_key_of_one_host_is_known_to_the_streams_of_all(server, montague, asker, key):
    verona = server.host("verona.example", dialback={})
    other = montague.connect(verona)
    other.send(verify(key, id="s1"))
    assert answer(other) == "valid"


def test_a_key_is_ours_after_a_restart(server, montague, capulet, key):
    server.restart()
    asker = montague.connect(capulet)
    asker.send(verify(key, id="s1"))
    assert answer(asker) == "valid"


@pytest.mark.parametrize(
    ("changes", "condition"),
    [
        ({"from": None}, "improper-addressing"),
        ({"to": None}, "improper-addressing"),
        ({"from": ""}, "improper-addressing"),
        ({"from": "romeo@montague.example"}, "improper-addressing"),
        ({"to": "capulet.example/balcony"}, "improper-addressing"),
        ({"id": None}, "bad-format"),
        ({"id": ""}, "bad-format"),
    ],
)
def test_who_cannot_be_answered_is_sent_away(asker, changes, condition):
    asker.send(verify(**changes))
    assert asker.closed_with() == condition


def test_in_the_clear_nothing_is_said_where_tls_is_wanted(montague, capulet):
    asker = montague.connect(capulet, direct=False)
    asker.send(verify())
    assert asker.closed_with() == "policy-violation"


def test_who_does_not_speak_with_us_cannot_be_asked_either(server, capulet):
    server.configure(federation={"domains": {TYBALT: {"access": "deny"}}})
    asker = server.remote(TYBALT).connect(capulet)
    assert asker.closed_with() == "policy-violation"


def test_on_a_stream_that_we_have_opened_nobody_asks(server, montague, juliet):
    juliet.message(f"romeo@{MONTAGUE}", "Wherefore art thou?")
    stream = montague.accept_secure(FEATURE)
    stream.receive_element()
    stream.send(verify())
    assert stream.received() == []
    (line,) = server.logged("unsolicited dialback")
    assert (line["element"], line["remote"], line["level"]) == ("verify", MONTAGUE, "warning")


@pytest.mark.parametrize("type_", ["valid", "invalid", "error", "", "sure"])
def test_an_answer_that_nobody_has_asked_for_is_none(server, asker, type_):
    for _ in range(3):
        asker.send(verify(type=type_))
        asker.send(verify(type=type_, from_=CHAT))
    assert asker.received() == []
    assert not asker.is_closed
    # It does not fill the log.
    assert len(server.logged("unsolicited dialback")) == 1
