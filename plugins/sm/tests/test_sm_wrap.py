"""The counters wrap at 2**32 on the wire (XEP-0198, section 4), and nothing is lost there."""

import pytest
from sm_clients import (
    JULIET,
    REQUEST,
    ROMEO,
    ack,
    acks,
    bodies,
    crash,
    first_client,
    managed_client,
    managed_of,
    resumable_client,
    resume,
    spooled,
)

from stonechat_sm.elements import NS_SM, WRAP

SIX = [f"{number}" for number in range(6)]


@pytest.fixture
def spool(host):
    return host.plugin("sm").spool


def old_client(host, sent=WRAP - 3):
    """Juliet, who has been here for so long that the count of what she got is near its end."""
    juliet = managed_client(host, JULIET)
    managed = managed_of(host, juliet)
    assert managed.waiting == 0
    managed.acked = sent
    return juliet, managed


def says(server, romeo, texts=SIX):
    """Romeo says something, and waits until it is safe: nobody else says so, so on the disk."""
    for text in texts:
        romeo.message(JULIET, text)
    romeo.send(REQUEST)
    server.clock.advance(0.5)
    assert acks(romeo)[-1] == str(len(texts))


def test_the_count_of_what_came_wraps(host):
    romeo = managed_client(host, ROMEO)
    managed = managed_of(host, romeo)
    managed.came = managed.safe = WRAP - 1
    romeo.send("<presence><show>away</show></presence>")
    romeo.send(REQUEST)
    assert acks(romeo) == ["0"]


def test_what_is_not_safe_yet_is_left_out_across_the_wrap_too(server, host):
    juliet = managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    managed = managed_of(host, romeo)
    managed.came = managed.safe = WRAP - 1
    romeo.message(JULIET, "Good night")
    romeo.send("<presence><show>away</show></presence>")
    managed.requested()
    managed.write_ack()
    assert acks(romeo) == [str(WRAP - 1)]
    juliet.send(ack(1))
    assert acks(romeo) == ["1"]


def test_acknowledgements_wrap(host):
    juliet, managed = old_client(host, WRAP - 2)
    romeo = host.connect(ROMEO)
    for number in range(4):
        romeo.message(JULIET, f"{number}")
    juliet.send(ack(1))
    assert managed.waiting == 1
    juliet.send(ack(1))
    assert managed.waiting == 1
    juliet.send(ack(2))
    assert managed.waiting == 0
    assert not juliet.is_closed


@pytest.mark.parametrize("h", [4, WRAP - 4])
def test_who_acknowledges_more_than_was_sent_is_found_out_across_the_wrap(host, h):
    juliet, _ = old_client(host)
    romeo = host.connect(ROMEO)
    for text in SIX:
        romeo.message(JULIET, text)
    juliet.received()
    juliet.send(ack(h))
    error = juliet.stream.error
    assert juliet.closed_with() == "undefined-condition"
    too_high = error.find("handled-count-too-high", NS_SM)
    assert too_high.attributes == {"h": str(h), "send-count": "3"}


def test_what_is_not_acknowledged_goes_to_others_once_and_in_order(server, host, spool):
    juliet, managed = old_client(host)
    romeo = managed_client(host, ROMEO)
    says(server, romeo)
    assert [body for _, body in spooled(host, managed.token)] == SIX
    # The first two, then the one at the wrap.
    juliet.send(ack(WRAP - 1))
    juliet.send(ack(0))
    spool.flush()
    assert [body for _, body in spooled(host, managed.token)] == SIX[3:]
    juliet.drop()
    server.settle()
    assert bodies(first_client(host)) == SIX[3:]
    spool.flush()
    assert spooled(host, managed.token) == []


def test_what_is_in_the_spool_at_a_crash_comes_in_order(server, host, spool):
    juliet, _ = old_client(host)
    romeo = managed_client(host, ROMEO)
    says(server, romeo)
    juliet.send(ack(WRAP - 2))
    spool.flush()
    crash(server)
    assert bodies(first_client(host)) == SIX[1:]


def test_a_session_is_resumed_across_the_wrap(server, host):
    juliet, id = resumable_client(host, JULIET)
    juliet.send(ack(1))
    managed_of(host, juliet).acked = WRAP - 3
    romeo = host.connect(ROMEO)
    for text in SIX:
        romeo.message(JULIET, text)
    juliet.send(ack(WRAP - 2))
    juliet.drop()
    server.settle()
    stream, resumed = resume(host, id, h=1)
    assert resumed.name == "resumed"
    assert bodies(stream) == SIX[4:]
    stream.send(ack(3))
    assert not stream.is_closed


def test_a_session_outlives_a_restart_across_the_wrap(server, host):
    juliet, id = resumable_client(host, JULIET)
    juliet.send(ack(1))
    managed = managed_of(host, juliet)
    managed.acked = WRAP - 3
    managed.came = managed.safe = WRAP - 1
    romeo = managed_client(host, ROMEO)
    says(server, romeo, SIX[:4])
    juliet.send(ack(WRAP - 2))
    # The last two are not in the spool before the restart.
    for text in SIX[4:]:
        romeo.message(JULIET, text)
    juliet.message(ROMEO, "Good night")
    juliet.message(ROMEO, "Good morrow")
    server.restart()
    stream, resumed = resume(host, id, h=0)
    assert (resumed.name, resumed.get("h")) == ("resumed", "1")
    assert bodies(stream) == SIX[3:]
    managed = managed_of(host, JULIET)
    host.connect(ROMEO).message(JULIET, "6")
    stream.send(ack(2))
    host.plugin("sm").spool.flush()
    assert [body for _, body in spooled(host, managed.token)] == ["5"]
    # That, its own presence, and what came after the restart.
    assert managed.waiting == 3
    assert not stream.is_closed


def test_what_was_handled_of_a_session_that_is_over_wraps(server, host):
    juliet, id = resumable_client(host, JULIET)
    managed = managed_of(host, juliet)
    managed.came = managed.safe = WRAP + 4
    juliet.disconnect()
    server.settle()
    assert resume(host, id, h=1)[1].get("h") == "4"
