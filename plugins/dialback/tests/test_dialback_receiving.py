"""The Receiving Server: other domains are let in once their own server knows their key."""

import pytest
from dialback_cast import (
    CAPULET,
    CHAT,
    KEY,
    MONTAGUE,
    ROOMS,
    TYBALT,
    answer,
    asked,
    hark,
    prove,
    result,
    said,
    say,
    verify,
)

from stonechat.namespaces import NS_DIALBACK
from stonechat.net.dialer import DialError
from stonechat.plugin import hookimpl
from stonechat.testing.remote import EXTERNAL
from stonechat.testing.server_stream import certificate_of
from stonechat_dialback.elements import FEATURE


@pytest.fixture
def stream(montague, capulet):
    """The Montagues have connected, and have proven nothing."""
    return montague.connect(capulet)


def test_dialback_and_its_errors_are_offered(stream):
    assert FEATURE in stream.features.elements


def test_a_domain_is_let_in_when_its_server_knows_the_key(server, montague, juliet, stream):
    stream.send(result())
    question_stream, question = asked(montague)
    assert question_stream.header.attributes["from"] == CAPULET
    assert question_stream.header.attributes["to"] == MONTAGUE
    wanted = {"from": CAPULET, "to": MONTAGUE, "id": stream.id}
    assert dict(question.attributes) == wanted
    assert question.text == KEY
    assert stream.received() == []
    say(question_stream, question)
    valid = stream.receive_element()
    assert (valid.namespace, valid.name) == (NS_DIALBACK, "result")
    assert dict(valid.attributes) == {"from": CAPULET, "to": MONTAGUE, "type": "valid"}
    stream.send(hark())
    assert juliet.receive_message().body == "Hark!"
    (line,) = server.logged("domain authorized")
    assert (line["remote"], line["way"]) == (MONTAGUE, "dialback")


def test_our_headers_tell_of_it_where_it_is_spoken(capulet, montague, juliet):
    told = "jabber:server:dialback"
    assert montague.connect(capulet).header.prefixes["db"] == told
    juliet.send(f"<message to='romeo@{MONTAGUE}'><body>Hark!</body></message>")
    assert montague.accept().header.prefixes["db"] == told
    capulet.disable("dialback")
    assert "db" not in montague.connect(capulet).header.prefixes


def test_it_is_understood_on_streams_whose_header_did_not_tell_of_it(server):
    server.configure(federation={"trust": "dialback"})
    montague = server.remote(MONTAGUE, certificate=False)
    capulet = server.host(CAPULET)
    stream = montague.connect(capulet)
    assert "db" not in stream.header.prefixes
    capulet.enable("dialback")
    stream.send(result())
    question = asked(montague)
    say(*question)
    assert answer(stream) == "valid"


def test_nothing_is_proven_on_the_stream_on_which_we_ask(montague, stream):
    stream.send(result())
    asking = montague.accept_secure(EXTERNAL, FEATURE)
    assert [each.name for each in asking.received()] == ["verify"]


class Watchman:
    """A plugin that would say something on each stream of ours."""

    def __init__(self, host, options):
        self.opened = []

    @hookimpl
    def stonechat_server_stream_opened(self, stream):
        self.opened.append(stream)


def test_no_plugin_is_told_of_that_stream(montague, capulet, stream):
    watchman = capulet.enable("watchman", plugin_class=Watchman)
    stream.send(result())
    say(*asked(montague))
    assert answer(stream) == "valid"
    assert watchman.opened == []


def test_the_stream_on_which_we_ask_ends_with_the_answer(montague, stream):
    stream.send(result())
    asking, question = asked(montague)
    say(asking, question)
    assert asking.closed_with() == ""
    assert not stream.is_closed


def test_before_the_answer_nothing_is_let_in(montague, juliet, stream):
    stream.send(result())
    asked(montague)
    stream.send(hark())
    assert stream.closed_with() == "not-authorized"
    assert juliet.received() == []


def test_another_domain_is_not_let_in_with_it(montague, juliet, stream):
    prove(stream, montague)
    stream.send(hark(from_=f"tybalt@{TYBALT}"))
    assert stream.closed_with() == "invalid-from"
    assert juliet.received() == []


def test_addresses_may_be_spelled_otherwise(montague, stream):
    stream.send(result(from_="Montague.Example", to="CAPULET.EXAMPLE"))
    asking, question = asked(montague)
    # It is the key that was made for these.
    assert (question.get("from"), question.get("to")) == ("CAPULET.EXAMPLE", "Montague.Example")
    say(asking, question, **{"from": "montague.example."})
    valid = stream.receive_element()
    assert (valid.get("from"), valid.get("to")) == ("CAPULET.EXAMPLE", "Montague.Example")
    assert valid.get("type") == "valid"


def test_a_stream_to_the_domain_is_used_to_ask(server, montague, juliet, stream):
    juliet.message(f"romeo@{MONTAGUE}", "Wherefore art thou?")
    ours = montague.accept_secure(FEATURE)
    ours.receive_element()
    ours.send(result(type="valid"))
    ours.received()
    stream.send(result())
    question = ours.receive_element()
    say(ours, question)
    assert answer(stream) == "valid"
    # It goes on.
    juliet.message(f"romeo@{MONTAGUE}", "Romeo?")
    assert [each.body for each in ours.received()] == ["Romeo?"]


# What the domain's own server may say


def test_an_impostor_is_sent_away(server, montague, juliet, stream):
    stream.send(result())
    say(*asked(montague), "invalid")
    assert answer(stream) == "invalid"
    assert stream.closed_with() == ""
    assert stream.has_ended
    (line,) = server.logged("dialback failed")
    assert (line["level"], line["remote"]) == ("warning", MONTAGUE)


def test_a_false_key_does_not_harm_the_other_domains_of_a_stream(server, montague, juliet, stream):
    chat = server.remote(CHAT, certificate=False)
    prove(stream, montague)
    stream.send(result(from_=CHAT))
    say(*asked(chat), "invalid")
    assert answer(stream) == "forbidden"
    stream.send(hark())
    assert juliet.receive_message().body == "Hark!"


def test_nor_does_it_where_the_stream_was_opened_for_another_one(server, montague, stream):
    chat = server.remote(CHAT, certificate=False)
    prove(stream, chat, from_=CHAT)
    stream.send(result())
    say(*asked(montague), "invalid")
    assert answer(stream) == "forbidden"
    assert not stream.is_closed


def test_nor_those_that_a_certificate_has_proven(server, capulet):
    stream = server.remote(MONTAGUE).join(capulet)
    chat = server.remote(CHAT, certificate=False)
    stream.send(result(from_=CHAT))
    say(*asked(chat), "invalid")
    assert answer(stream) == "forbidden"
    assert not stream.is_closed


def test_what_the_server_does_not_know_is_told_so(montague, stream):
    stream.send(result())
    asking, question = asked(montague)
    error = verify(from_=MONTAGUE, to=CAPULET, id=question.get("id"), type="error")
    asking.send(error)
    # XEP-0220, 2.5, for all errors of step 3
    assert answer(stream) == "remote-server-not-found"
    assert not stream.is_closed


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"id": "s2"}, id="the id of another stream"),
        pytest.param({"id": None}, id="no id"),
        pytest.param({"from": TYBALT}, id="another domain"),
        pytest.param({"to": ROOMS}, id="for another domain of ours"),
        pytest.param({"type": "sure"}, id="no answer that there is"),
        pytest.param({"type": ""}, id="an empty type"),
    ],
)
def test_an_answer_to_something_else_is_none(server, montague, stream, changes):
    stream.send(result())
    asking, question = asked(montague)
    say(asking, question, **changes)
    assert stream.received() == []
    assert len(server.logged("unsolicited dialback")) == 1
    # The right one is waited for.
    say(asking, question)
    assert answer(stream) == "valid"


def test_a_question_is_no_answer(montague, stream):
    stream.send(result())
    asking, question = asked(montague)
    say(asking, question, type=None)
    assert stream.received() == []


def test_an_answer_without_a_sender_ends_the_stream_it_came_on(montague, stream):
    stream.send(result())
    asking, question = asked(montague)
    say(asking, question, **{"from": None})
    assert asking.closed_with() == "improper-addressing"
    assert answer(stream) == "remote-server-timeout"


def test_an_answer_counts_once(server, montague, juliet, stream):
    other = montague.connect(CAPULET)
    stream.send(result())
    other.send(result("e" * 64))
    asking, question = asked(montague)
    second = asking.receive_element()
    assert [question.get("id"), second.get("id")] == [stream.id, other.id]
    say(asking, question)
    say(asking, question)
    assert answer(stream) == "valid"
    assert other.received() == stream.received() == []
    say(asking, second, "invalid")
    assert answer(other) == "invalid"


def test_of_two_answers_the_first_counts(montague, stream):
    stream.send(result())
    asking, question = asked(montague)
    answers = [verify(id=question.get("id"), type=type_) for type_ in ("invalid", "valid")]
    asking.send("".join(map(str, answers)))
    assert answer(stream) == "invalid"


def test_an_answer_on_another_stream_is_none(server, montague, capulet, stream):
    stream.send(result())
    asking, question = asked(montague)
    # Where the forger can say something: on its own stream, or one of ours to it.
    stream.send(verify(id=stream.id, type="valid"))
    other = montague.connect(capulet)
    other.send(verify(id=stream.id, type="valid"))
    tybalt = server.remote(TYBALT, certificate=False)
    third = tybalt.connect(capulet)
    third.send(result(from_=TYBALT))
    theirs, _ = asked(tybalt)
    say(theirs, question)
    assert stream.received() == []
    say(asking, question)
    assert answer(stream) == "valid"


def test_the_result_that_we_give_is_none_where_they_send_it(montague, juliet, stream):
    """CVE-2012-3525: who sends the answer to his own question is let in."""
    stream.send(result(type="valid"))
    stream.send(result(from_=CAPULET, to=MONTAGUE, type="valid"))
    assert stream.received() == []
    stream.send(hark())
    assert stream.closed_with() == "not-authorized"
    assert juliet.received() == []


# What keeps us from asking


def test_a_domain_without_a_server(server, capulet, stream):
    stream.send(result(from_=TYBALT))
    assert answer(stream) == "remote-server-not-found"
    assert not stream.is_closed


def test_a_server_that_cannot_be_reached(server, stream, monkeypatch):
    def dial(targets, seconds):
        raise DialError([], is_not_found=False)

    monkeypatch.setattr(server.kernel.s2s.ways, "dial", dial)
    stream.send(result())
    refusal = stream.receive_element()
    # The XEP's own, which RFC 6120 has for streams only.
    assert said(refusal) == "remote-connection-failed"
    assert refusal.elements[0].get("type") == "wait"


def test_a_server_that_accepts_and_is_silent(server, montague, stream):
    stream.send(result())
    asking = montague.accept()
    server.clock.advance(21)
    assert answer(stream) == "remote-connection-failed"
    assert asking.is_closed


def test_a_server_with_which_tls_fails(montague, stream):
    stream.send(result())
    asking = montague.accept()
    asking.answer("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    asking.receive_element()
    asking.drop()
    assert answer(stream) == "remote-connection-failed"


def test_a_server_without_tls_where_the_policy_wants_it(montague, stream):
    stream.send(result())
    asking = montague.accept()
    asking.answer(FEATURE)
    assert asking.received() == []
    assert answer(stream) == "remote-connection-failed"
    assert asking.is_closed


def test_a_server_that_does_not_serve_the_domain(montague, stream):
    stream.send(result())
    asking = montague.accept()
    asking.send(
        "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'"
        " id='s1' version='1.0'><stream:error>"
        "<host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
    )
    assert answer(stream) == "remote-server-not-found"


def test_a_server_that_does_not_answer(server, montague, stream):
    stream.send(result())
    asking, _ = asked(montague)
    server.clock.advance(21)
    assert answer(stream) == "remote-server-timeout"
    assert asking.is_closed


def test_a_server_that_goes_away(montague, stream):
    stream.send(result())
    asking, _ = asked(montague)
    asking.drop()
    assert answer(stream) == "remote-server-timeout"


def test_an_answer_that_comes_too_late_is_none(server, montague, juliet, stream):
    juliet.message(f"romeo@{MONTAGUE}", "Wherefore art thou?")
    ours = montague.accept_secure(FEATURE)
    ours.receive_element()
    ours.send(result(type="valid"))
    ours.received()
    stream.send(result())
    question = ours.receive_element()
    server.clock.advance(21)
    assert answer(stream) == "remote-server-timeout"
    say(ours, question)
    assert stream.received() == []
    assert not ours.is_closed
    # It is not kept for ever who has asked.
    assert len(server.logged("unsolicited dialback")) == 1


# Who asks


def test_a_domain_that_is_not_ours(stream):
    stream.send(result(to=TYBALT))
    refusal = stream.receive_element()
    assert (refusal.get("from"), refusal.get("to")) == (TYBALT, MONTAGUE)
    assert said(refusal) == "item-not-found"
    assert not stream.is_closed


@pytest.mark.parametrize("own", [CAPULET, "verona.example"])
def test_nobody_else_is_one_of_our_own_domains(server, own, stream):
    server.host("verona.example")
    stream.send(result(from_=own))
    assert answer(stream) == "not-allowed"


@pytest.mark.parametrize("from_", [CAPULET, TYBALT])
def test_no_certificate_helps_there(server, capulet, from_):
    server.configure(federation={"domains": {TYBALT: {"access": "deny"}}})
    certificate = certificate_of(MONTAGUE, CAPULET, TYBALT)
    stream = server.remote(MONTAGUE, certificate=certificate).connect(capulet)
    stream.send(result(from_=from_))
    assert answer(stream) == "not-allowed"
    assert server.logged("domain authorized") == []


def test_a_domain_that_is_not_spoken_to(server, montague, stream):
    server.configure(federation={"domains": {TYBALT: {"access": "deny"}}})
    server.remote(TYBALT, certificate=False)
    stream.send(result(from_=TYBALT))
    assert answer(stream) == "not-allowed"


def test_a_domain_that_has_to_show_a_certificate(server, stream):
    server.configure(federation={"domains": {TYBALT: {"trust": "require"}}})
    server.remote(TYBALT, certificate=False)
    stream.send(result(from_=TYBALT))
    assert answer(stream) == "not-authorized"


def test_a_certificate_saves_the_question(server, capulet):
    both = certificate_of(MONTAGUE, CHAT)
    stream = server.remote(MONTAGUE, certificate=both).connect(capulet)
    server.remote(CHAT)
    for domain in (MONTAGUE, CHAT):
        stream.send(result(from_=domain))
        assert answer(stream) == "valid"
    assert [line["way"] for line in server.logged("domain authorized")] == ["certificate"] * 2


@pytest.mark.parametrize(
    ("certificate", "fault"),
    [(certificate_of(TYBALT), ""), (True, "certificate has expired")],
)
def test_a_certificate_that_is_not_good_does_not(server, capulet, certificate, fault):
    server.configure(federation={"trust": "dialback"})
    montague = server.remote(MONTAGUE, certificate=certificate, certificate_fault=fault)
    stream = montague.connect(capulet)
    assert [each.name for each in stream.features.elements] == ["dialback"]
    prove(stream, montague)


@pytest.mark.parametrize("key", ["", "   ", "f" * 1025])
def test_what_can_be_no_key_is_not_asked_about(stream, key):
    stream.send(result(key))
    assert answer(stream) == "bad-request"


@pytest.mark.parametrize(
    "changes",
    [
        {"from": None},
        {"to": None},
        {"from": "romeo@montague.example"},
        {"from": "montague..example"},
        {"to": f"{CAPULET}/x"},
    ],
)
def test_who_cannot_be_answered_is_sent_away(stream, changes):
    stream.send(result(**changes))
    assert stream.closed_with() == "improper-addressing"


def test_who_is_in_already_is_in(montague, stream):
    prove(stream, montague)
    stream.send(result("another"))
    assert answer(stream) == "valid"


def test_a_key_that_is_sent_again_is_asked_about_once(server, montague, stream):
    stream.send(result())
    stream.send(result())
    stream.send(result("e" * 64))
    asking, question = asked(montague)
    assert question.text == KEY
    assert asking.received() == []
    say(asking, question)
    assert answer(stream) == "valid"
    assert stream.received() == []


# What may happen meanwhile


def test_who_has_gone_is_not_asked_about_any_more(server, montague, stream):
    stream.send(result())
    asking, _ = asked(montague)
    stream.drop()
    assert asking.closed_with() == ""


def test_nothing_of_a_verification_is_left_behind(server, montague, capulet, stream):
    ledger = capulet.kernel.plugins.running["dialback"].ledger
    held = len(ledger)
    prove(stream, montague)
    assert len(ledger) == held


def test_who_goes_at_once_leaves_nothing_behind(server, montague, capulet, stream):
    receiving = capulet.plugin("dialback").receiving
    # In one turn: nothing of ours runs between.
    stream.connection.deliver(f"{result()}</stream:stream>".encode())
    stream.connection.hang_up()
    server.settle()
    assert not receiving._under_way
    assert stream.is_closed


def test_a_stream_that_was_begun_anew_is_another(server, capulet):
    """By SASL it has another id, and what was asked for the old one is not for it."""
    montague = server.remote(MONTAGUE)
    chat = server.remote(CHAT, certificate=False)
    stream = montague.connect(capulet)
    stream.send(result(from_=CHAT))
    asking, question = asked(chat)
    old = stream.id
    assert stream.authenticate().name == "success"
    stream.open()
    assert stream.id != old
    say(asking, question)
    assert stream.received() == []
    stream.send(hark(from_=f"romeo@{CHAT}"))
    assert stream.closed_with() == "invalid-from"


def test_what_was_said_before_tls_does_not_count_behind_it(server, montague, capulet):
    server.configure(federation={"trust": "any"})
    stream = montague.connect(capulet, direct=False, starttls="optional")
    stream.send(result())
    asking, question = asked(montague)
    stream.start_tls()
    say(asking, question)
    assert stream.received() == []


def test_a_stricter_policy_that_comes_meanwhile_counts(server, montague, stream):
    stream.send(result())
    asking, question = asked(montague)
    server.configure(federation={"trust": "require"})
    say(asking, question)
    assert answer(stream) == "not-authorized"


def test_stanzas_go_on_while_a_key_is_verified(server, montague, juliet, stream):
    server.remote(CHAT, certificate=False)
    prove(stream, montague)
    stream.send(result(from_=CHAT))
    stream.send(hark())
    assert juliet.receive_message().body == "Hark!"


# Without TLS


def test_in_the_clear_where_the_policy_allows_it(server, montague, juliet):
    server.configure(federation={"trust": "any"})
    stream = montague.connect(CAPULET, direct=False, starttls="optional")
    assert [each.name for each in stream.features.elements] == ["starttls", "dialback"]
    stream.send(result())
    asking = montague.accept()
    asking.answer(FEATURE)
    question = asking.receive_element()
    say(asking, question)
    assert answer(stream) == "valid"
    stream.send(hark())
    assert juliet.receive_message().body == "Hark!"


def test_who_is_older_than_features_proves_itself_in_the_clear(server, montague, juliet):
    server.configure(federation={"trust": "any"})
    stream = montague.connect(CAPULET, direct=False, starttls="optional", header=False)
    stream.open(version="")
    stream.send(result())
    asking = montague.accept()
    asking.answer(version="")
    say(asking, asking.receive_element())
    assert answer(stream) == "valid"


def test_who_has_named_no_domain_is_judged_by_the_one_it_proves(server, montague, capulet):
    server.configure(federation={"trust": "any", "domains": {MONTAGUE: {"trust": "dialback"}}})
    stream = montague.connect(capulet, direct=False, starttls="optional", header=False)
    stream.open(from_="")
    stream.send(result())
    assert answer(stream) == "policy-violation"
    assert not stream.is_closed


# Several pairs on one stream


def test_further_domains_of_theirs_come_over_the_same_stream(server, montague, juliet, stream):
    chat = server.remote(CHAT, certificate=False)
    prove(stream, montague)
    prove(stream, chat, from_=CHAT)
    for sender in (MONTAGUE, CHAT):
        stream.send(hark(from_=f"romeo@{sender}"))
        assert juliet.receive_message().from_.domain == sender


def test_a_stream_may_be_for_several_domains_of_ours(montague, capulet, stream):
    rooms = capulet.enable("rooms", plugin_class=Rooms)
    prove(stream, montague)
    prove(stream, montague, to=ROOMS)
    stream.send(hark(to=f"verona@{ROOMS}"))
    assert [each.to.text for each in rooms.came] == [f"verona@{ROOMS}"]


def test_a_stream_may_be_for_several_hosts(server, montague, stream):
    """The other one's plugin may be off: its policy says whether a dialback is enough."""
    verona = server.host("verona.example")
    prove(stream, montague)
    prove(stream, montague, to=verona.name)
    mercutio = verona.connect("mercutio@verona.example/street")
    mercutio.available()
    stream.send(hark(to="mercutio@verona.example/street"))
    assert mercutio.receive_message().body == "Hark!"


def test_each_host_has_its_own_policy(server, montague, stream):
    server.host("verona.example", dialback={})
    plugins = {"dialback": {}}
    strict = {"plugins": plugins, "federation": {"trust": "require"}}
    server.configure(hosts={CAPULET: {"plugins": plugins}, "verona.example": strict})
    stream.send(result(to="verona.example"))
    assert answer(stream) == "not-authorized"
    prove(stream, montague)


class Rooms:
    """A plugin that answers for a domain of its own."""

    def __init__(self, host, options):
        self.host = host
        self.came = []

    def start(self):
        self.host.register_route(ROOMS, self.came.append)
