"""Acks on streams that other servers open (XEP-0198): what came, and what is safe of it."""

import pytest
from sm_clients import ENABLE, REQUEST, Store, ack, acks, managed_client, nonzas
from sm_servers import (
    BOTH,
    CAPULET,
    MONTAGUE,
    NS_BOTH,
    ROMEO,
    Believing,
    Both,
    hark,
    joined,
    names,
    refusal,
    say,
)

from stonechat.stanza import Element
from stonechat_sm.elements import NS_SM

JULIET = f"juliet@{CAPULET}/balcony"


@pytest.fixture
def montague(server):
    return server.remote(MONTAGUE)


@pytest.fixture
def capulet(server, montague):
    return server.host(CAPULET, sm={}, offline={}, plugin_classes={"both": Both})


@pytest.fixture
def juliet(capulet):
    juliet = capulet.connect(JULIET)
    juliet.available()
    juliet.received()
    return juliet


def test_it_is_offered_once_a_certificate_has_proven_the_peer(capulet, montague):
    stream = montague.connect(capulet)
    assert stream.features.find("sm", NS_SM) is None
    stream.authenticate()
    assert stream.open().find("sm", NS_SM) is not None


def believing(server, **plugins):
    server.configure(federation={"trust": "dialback"})
    server.host(CAPULET, **plugins, offline={}, plugin_classes={"both": Believing})
    return server.remote(MONTAGUE, certificate=False)


def test_who_may_prove_its_domain_by_a_dialback_is_offered_it_before(server):
    stream = believing(server, sm={}).connect(CAPULET)
    assert stream.features.find("sm", NS_SM) is not None
    stream.send(ENABLE)
    assert refusal(stream) == "unexpected-request"
    stream.send(f"<pair xmlns='{NS_BOTH}' from='{MONTAGUE}'/>")
    stream.send(ENABLE)
    assert nonzas(stream) == [Element(NS_SM, "enabled")]
    stream.send(hark(to=f"juliet@{CAPULET}") + REQUEST)
    assert [element.get("h") for element in nonzas(stream)] == ["1"]


@pytest.mark.parametrize("why", ["a certificate", "nobody proves", "trust", "nobody", "clear"])
def test_it_is_not_where_no_dialback_can_be_all(server, why):
    plugins = {"sm": {}}
    montague = believing(server, **plugins)
    if why == "a certificate":
        # The features come once more behind it.
        montague = server.remote("verona.example")
    elif why == "nobody proves":
        next(iter(server._hosts.values())).disable("both")
    elif why == "trust":
        server.configure(federation={"trust": "require"})
    stream = montague.connect(CAPULET, direct=why != "clear", header=False)
    if why == "nobody":
        stream.open(from_="")
    else:
        stream.open()
    assert stream.features is None or stream.features.find("sm", NS_SM) is None


def test_it_is_neither_offered_nor_known_where_it_is_switched_off(server, montague):
    stream = montague.join(server.host(CAPULET, sm={"servers": False}))
    assert stream.features.find("sm", NS_SM) is None
    stream.send(ENABLE)
    assert stream.closed_with() == "unsupported-stanza-type"


@pytest.mark.parametrize("wish", ["", "resume='true' max='60'"])
def test_acks_are_agreed_on_and_no_resumption(capulet, montague, wish):
    stream = montague.join(capulet)
    stream.send(f"<enable xmlns='{NS_SM}' {wish}/>")
    assert nonzas(stream) == [Element(NS_SM, "enabled")]
    stream.send(f"<resume xmlns='{NS_SM}' previd='1' h='0'/>")
    assert refusal(stream) == "item-not-found"
    assert not stream.is_closed


def test_stanzas_are_counted_from_enable_on(juliet, montague):
    stream = montague.join(CAPULET)
    stream.send(hark("before"))
    stream.send(ENABLE)
    for number in range(3):
        stream.send(hark(number))
    stream.send(REQUEST)
    assert acks(stream) == ["3"]
    assert [juliet.receive_message().body for _ in range(4)] == ["before", "0", "1", "2"]


def test_what_is_refused_or_malformed_counts_too(juliet, montague):
    stream = joined(montague)
    stream.send(hark(to=f"a\u00a0b@{CAPULET}"))
    stream.send(f"<presence type='odd' from='{ROMEO}' to='{JULIET}'/>")
    stream.send(f"<iq type='get' id='1' from='{ROMEO}' to='{CAPULET}'><x xmlns='urn:none'/></iq>")
    stream.send(REQUEST)
    assert acks(stream) == ["3"]


def test_a_message_counts_when_the_client_that_it_is_for_has_it(capulet, montague):
    juliet = managed_client(capulet, JULIET)
    stream = joined(montague)
    stream.send(hark())
    stream.send(REQUEST)
    # Asked at once, because somebody waits.
    assert nonzas(juliet) == [Element(NS_SM, "r")]
    assert acks(stream) == []
    juliet.send(ack(1))
    assert acks(stream) == ["1"]


def test_a_peer_does_not_wait_long_for_what_is_safe_meanwhile(server, capulet, montague):
    managed_client(capulet, JULIET)
    stream = joined(montague)
    stream.send(f"<presence from='{ROMEO}' to='{JULIET}'/>")
    with Store(capulet).refuses():
        stream.send(hark())
        stream.send(REQUEST)
        assert acks(stream) == []
        server.clock.advance(1)
        assert acks(stream) == ["1"]
    server.expect_errors()


def test_a_second_enable_ends_the_stream(capulet, montague):
    stream = joined(montague)
    stream.send(ENABLE)
    assert stream.closed_with() == "policy-violation"
    assert stream.receive_element().find("unexpected-request") is None


@pytest.mark.parametrize("element", [REQUEST, ack(0)])
def test_acks_without_management_are_refused_and_the_stream_goes_on(juliet, montague, element):
    stream = montague.join(CAPULET)
    stream.send(element)
    assert refusal(stream) == "unexpected-request"
    stream.send(hark())
    assert juliet.receive_message().body == "Hark!"


def test_who_has_proven_nothing_enables_nothing(capulet, montague):
    stream = montague.connect(capulet)
    stream.send(ENABLE)
    assert refusal(stream) == "unexpected-request"
    stream.authenticate()
    stream.open()
    stream.send(ENABLE)
    assert nonzas(stream) == [Element(NS_SM, "enabled")]


def test_an_ack_for_what_was_never_sent_ends_the_stream(capulet, montague):
    stream = joined(montague)
    stream.send(ack(1))
    assert stream.closed_with() == "undefined-condition"
    assert stream.error.find("handled-count-too-high", NS_SM).attributes == {
        "h": "1",
        "send-count": "0",
    }


@pytest.mark.parametrize("h", ["", "-1", "4294967296", "one"])
def test_an_ack_without_a_number_ends_the_stream(capulet, montague, h):
    stream = joined(montague)
    stream.send(ack(h))
    assert stream.closed_with() == "bad-format"


def test_what_nobody_asked_for_ends_the_stream_or_is_not_answered(capulet, montague):
    stream = joined(montague)
    stream.send(f"<failed xmlns='{NS_SM}'/>")
    assert stream.received() == []
    stream.send(f"<enabled xmlns='{NS_SM}'/>")
    assert stream.closed_with() == "policy-violation"


def test_on_a_stream_for_both_directions_both_are_counted(server, juliet, montague):
    stream = montague.connect(CAPULET)
    stream.send(BOTH)
    stream.authenticate()
    stream.open()
    say(juliet, "not counted")
    assert names(stream) == ["not counted"]
    stream.send(ENABLE)
    say(juliet, "counted")
    server.clock.advance(1)
    assert names(stream) == ["enabled", "counted", "r"]
    stream.send(ack(1))
    stream.send(hark())
    stream.send(REQUEST)
    assert acks(stream) == ["1"]
    stream.send(ack(2))
    assert stream.closed_with() == "undefined-condition"


def test_the_last_word_before_our_end_is_what_we_have(server, juliet, montague):
    stream = joined(montague)
    stream.send(hark("one"))
    server.command("s2s-close", domain=MONTAGUE)
    assert [element.get("h") for element in nonzas(stream)] == ["1"]
    assert stream.has_ended
    # It cannot hear any more that we have this, and sends it again.
    stream.send(hark("two"))
    stream.close()
    assert [message.body for message in juliet.received()] == ["one"]


def test_a_peer_that_ends_the_stream_hears_what_we_have(juliet, montague):
    stream = joined(montague)
    stream.send(hark() + "</stream:stream>")
    assert [element.get("h") for element in nonzas(stream)] == ["1"]
    assert stream.closed_with() == ""


@pytest.mark.parametrize("who", ["we", "the peer"])
def test_the_end_waits_for_what_is_being_made_safe(server, capulet, montague, who):
    juliet = managed_client(capulet, JULIET)
    stream = joined(montague)
    stream.send(hark())
    if who == "we":
        server.command("s2s-close", domain=MONTAGUE)
    else:
        stream.close()
    # Asked at once, because somebody waits.
    assert nonzas(juliet) == [Element(NS_SM, "r")]
    assert not stream.has_ended
    juliet.send(ack(1))
    assert acks(stream) == ["1"]
    assert stream.has_ended


def test_it_does_not_wait_for_long(server, capulet, montague):
    managed_client(capulet, JULIET)
    stream = joined(montague)
    with Store(capulet).refuses():
        stream.send(hark() + "</stream:stream>")
        assert not stream.has_ended
        server.clock.advance(1.1)
        assert acks(stream) == ["0"]
        assert stream.has_ended
    server.expect_errors()


def test_without_management_what_comes_behind_our_end_is_handled(server, juliet, montague):
    stream = montague.join(CAPULET)
    server.command("s2s-close", domain=MONTAGUE)
    assert nonzas(stream) == []
    stream.send(hark())
    assert juliet.receive_message().body == "Hark!"
