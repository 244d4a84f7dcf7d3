"""A host that is served elsewhere now (RFC 6120, 4.9.3.19), and what two hosts do not share."""

import base64

import pytest

from stonechat.namespaces import NS_SASL, NS_STREAM_ERRORS, NS_TLS

ELSEWHERE = "[2001:db8::41]:9222"
PASSWORD = "R0m30"


@pytest.fixture
def moved(server):
    server.configure(hosts={"capulet.example": {"see_other_host": ELSEWHERE}})
    return server.host("capulet.example")


def test_who_asks_for_a_host_that_has_moved_is_told_where_it_is(moved):
    stream = moved.open_stream(tls=True)
    error = stream.receive_element()
    assert error.find_text("see-other-host", NS_STREAM_ERRORS) == ELSEWHERE
    assert stream.closed_with() == "see-other-host"
    assert stream.features is None


def test_where_tls_is_required_nobody_is_sent_away_in_the_clear(moved):
    # Whoever sits on the wire could send clients anywhere.
    stream = moved.open_stream(starttls="required")
    assert stream.features.find("starttls", NS_TLS) is not None
    stream.start_tls()
    assert stream.closed_with() == "see-other-host"


def test_who_guesses_at_one_host_is_not_helped_by_an_account_at_another(server):
    # Anybody may register the same name there; with one book for both hosts, to log in
    # to it would wipe the failures out.
    here, there = server.host("capulet.example"), server.host("montague.example")
    for host in (here, there):
        host.create_account("romeo", PASSWORD)
    for _ in range(2):
        here.open_stream(tls=True).authenticate("romeo", "Par1s")
    assert there.open_stream(tls=True).authenticate("romeo", PASSWORD).name == "success"
    guesser = here.open_stream(tls=True)
    text = base64.b64encode(f"\0romeo\0{PASSWORD}".encode()).decode()
    guesser.send(f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{text}</auth>")
    assert guesser.received() == []
    server.clock.advance(0.5)
    assert guesser.receive().name == "success"
