"""A session ends behind what it has sent, whoever ends it, and whatever blocks meanwhile."""

import gevent
import pytest
from gevent.event import Event
from unbound_door import BIND, host_with_door, log_in

from stonechat import hookimpl
from stonechat.commands import CommandError
from stonechat.core import client_session, resources, session_manager
from stonechat.errors import StreamError
from stonechat.options import Secret
from stonechat.plugin import Stage, stage
from stonechat.stanza import Presence
from stonechat.testing import PASSWORD, until

BALCONY = "juliet@capulet.example/balcony"
CHAMBER = "juliet@capulet.example/chamber"
SLOW = "<status>slow</status>"


class Witness:
    """Holds up what says `slow`, does at a `deed` what the test says; writes all down."""

    def __init__(self, host, options):
        self.gate = Event()
        self.told = []
        self.deed = self.last_deed = lambda session: None

    def look_at(self, session, stanza):
        if b"slow" in stanza.to_bytes():
            self.gate.wait()
        if b"deed" in stanza.to_bytes():
            self.deed(session)

    @hookimpl
    def stonechat_session_bound(self, session):
        self.told.append(f"bound {session.jid.resource}")

    @hookimpl
    def stonechat_message_from_user(self, session, message):
        self.look_at(session, message)

    @hookimpl
    def stonechat_presence_from_user(self, session, presence):
        self.look_at(session, presence)

    @hookimpl
    @stage(Stage.CHANGE)
    def stonechat_presence_changed(self, session, presence):
        self.look_at(session, presence)

    @hookimpl
    def stonechat_presence_to_user(self, presence):
        self.told.append(f"directed {presence.type or 'available'}")

    @hookimpl
    def stonechat_message_undelivered(self, message):
        self.told.append(f"kept {message.body}")
        return True

    @hookimpl
    def stonechat_session_ending(self, session):
        self.told.append("ending")

    @hookimpl
    def stonechat_session_closed(self, session):
        self.told.append("closed")
        self.last_deed(session)

    @hookimpl
    def stonechat_account_removed(self, account):
        self.told.append("removed")


class Teller:
    """Hears of presence behind the witness."""

    def __init__(self, host, options):
        self.told = None

    @hookimpl
    def stonechat_presence_changed(self, session, presence):
        self.told.append(presence.type or "available")


@pytest.fixture
def host(server):
    host = server.host("capulet.example")
    for name in ("juliet", "romeo"):
        host.create_account(name)
    return host


@pytest.fixture
def witness(host):
    witness = host.enable("witness", plugin_class=Witness)
    host.enable("teller", plugin_class=Teller).told = witness.told
    return witness


@pytest.fixture
def juliet(host, witness):
    juliet = host.connect(BALCONY)
    witness.told.clear()
    return juliet


@pytest.fixture
def for_ever(monkeypatch):
    """Who waits for himself is found out."""
    for module, name in (
        (client_session, "REST_SECONDS"),
        (resources, "ENDING_SECONDS"),
        (session_manager, "ENDING_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 1_000_000.0)


def session_of(host, client):
    return host.kernel.session(client.jid)


# What is at hand comes first


def kick(server, host):
    server.command("kick", jid=BALCONY)


def bind_again(server, host):
    host.connect(BALCONY)


def remove(server, host):
    host.kernel.accounts.remove("juliet")


@pytest.mark.parametrize(
    ("end", "afterwards"), [(kick, []), (bind_again, ["bound balcony"]), (remove, ["removed"])]
)
def test_whoever_ends_a_session_what_it_has_sent_is_told_before(
    server, host, juliet, witness, end, afterwards
):
    juliet.send(f"<presence>{SLOW}</presence>")
    ending = gevent.spawn(end, server, host)
    until(lambda: juliet.is_closed, "end of the stream")
    server.settle()
    assert witness.told == []
    witness.gate.set()
    ending.get(timeout=5)
    server.settle()
    assert witness.told == ["available", "ending", "unavailable", "closed", *afterwards]


def test_a_client_that_is_lost_meanwhile_is_told_to_be_gone_last(server, juliet, witness):
    juliet.send(f"<presence>{SLOW}</presence>")
    juliet.drop()
    assert witness.told == []
    witness.gate.set()
    server.settle()
    assert witness.told == ["available", "ending", "unavailable", "closed"]


def test_who_is_sent_presence_directly_hears_of_it_before_the_end(server, host, juliet, witness):
    juliet.send(f"<presence to='romeo@capulet.example'>{SLOW}</presence>")
    session_of(host, juliet).close()
    server.settle()
    assert witness.told == []
    witness.gate.set()
    server.settle()
    assert witness.told == ["directed available", "ending", "closed"]


def test_what_a_plugin_says_for_a_session_is_waited_for_as_well(server, host, juliet, witness):
    session = session_of(host, juliet)
    again = Presence.from_bytes(f"<presence xmlns='jabber:client'>{SLOW}</presence>".encode())
    saying = gevent.spawn(session.receive, again)
    gevent.sleep(0)
    juliet.send("<presence/>")
    session.close()
    server.settle()
    assert witness.told == ["available"]
    witness.gate.set()
    saying.get(timeout=5)
    server.settle()
    assert witness.told == ["available", "available", "ending", "unavailable", "closed"]


def test_what_a_plugin_says_for_a_session_that_has_ended_is_dropped(server, host, juliet, witness):
    session = session_of(host, juliet)
    juliet.disconnect()
    witness.told.clear()
    session.receive(Presence())
    assert witness.told == []
    assert session.presence is None


def test_meanwhile_nobody_finds_the_session_and_no_message_is_lost(server, host, juliet, witness):
    romeo = host.connect("romeo@capulet.example/orchard")
    juliet.send(f"<presence>{SLOW}</presence>")
    session_of(host, juliet).close()
    server.settle()
    witness.told.clear()
    assert session_of(host, juliet) is None
    romeo.message(BALCONY, "Hist!")
    assert witness.told == ["kept Hist!"]
    witness.gate.set()


def test_who_is_quick_to_come_back_comes_behind_the_end(server, host, juliet, witness):
    stream = host.open_stream(tls=True)
    stream.authenticate("juliet", PASSWORD)
    stream.open()
    juliet.send(f"<presence>{SLOW}</presence>")
    session_of(host, juliet).close()
    server.settle()
    stream.connection.deliver(BIND.replace(">x<", ">balcony<").encode())
    server.settle()
    assert witness.told == []
    witness.gate.set()
    server.settle()
    assert session_of(host, juliet).is_open
    assert witness.told == ["available", "ending", "unavailable", "closed", "bound balcony"]


def test_of_two_who_wait_for_the_stanza_at_hand_both_go_on(server):
    host = host_with_door(server)
    witness = host.enable("witness", plugin_class=Witness)
    juliet = host.connect(BALCONY)
    session = session_of(host, juliet)
    juliet.send(f"<presence>{SLOW}</presence>")
    door, stream = host.plugin("door"), host.open_stream(tls=True)
    log_in(stream, door)
    door.knocked = lambda it: it.resume(session)
    resuming = gevent.spawn(stream.send, "<knock xmlns='urn:example:door'/>")
    server.settle()
    session.close(StreamError("policy-violation"))
    server.settle()
    witness.gate.set()
    resuming.get(timeout=5)
    assert stream.closed_with() == "internal-server-error"
    assert witness.told[-1] == "closed"


# Nobody waits for himself


def test_a_plugin_may_close_the_session_whose_stanza_it_is_at(
    server, host, juliet, witness, for_ever
):
    witness.deed = lambda session: session.close()
    juliet.send("<presence><status>deed</status></presence>")
    assert witness.told == ["available", "ending", "unavailable", "closed"]


def test_an_account_may_be_removed_by_what_one_of_its_sessions_sends(
    server, host, juliet, witness, for_ever
):
    other = host.connect(CHAMBER)
    for client in (juliet, other):
        client.available()
    witness.told.clear()
    witness.deed = lambda session: remove(server, host)
    juliet.message("romeo@capulet.example", "deed")
    assert witness.told[-2:] == ["removed", "kept deed"]
    assert sorted(witness.told[:-2]) == 2 * ["closed"] + 2 * ["ending"] + 2 * ["unavailable"]


def test_so_it_may_where_somebody_else_has_begun_to_close_that_session(
    server, host, juliet, witness, for_ever
):
    def be_closed_and_remove(session):
        session.close()
        gevent.sleep(0)
        remove(server, host)

    witness.deed = be_closed_and_remove
    juliet.message("romeo@capulet.example", "deed")
    assert witness.told == ["ending", "closed", "removed", "kept deed"]


def test_an_account_may_be_removed_when_its_session_is_closed(server, host, witness, for_ever):
    guest = host.connect(CHAMBER)
    witness.told.clear()
    witness.last_deed = lambda session: remove(server, host)
    guest.disconnect()
    server.settle()
    assert witness.told == ["ending", "closed", "removed"]
    assert not host.kernel.accounts.exists("juliet")


def test_two_sessions_may_close_each_other(server, host, juliet, witness, for_ever):
    other = host.connect(CHAMBER)
    both = {client.jid: session_of(host, client) for client in (juliet, other)}
    witness.told.clear()

    def close_the_other(session):
        witness.gate.wait()
        for jid, known in both.items():
            if jid != session.jid:
                known.close()

    witness.deed = close_the_other
    for client in (juliet, other):
        client.message("romeo@capulet.example", "deed")
    witness.gate.set()
    server.settle()
    assert sorted(witness.told) == 2 * ["closed"] + 2 * ["ending"] + 2 * ["kept deed"]


def test_two_who_remove_each_others_accounts_do_not_wait_for_ever(
    server, host, juliet, witness, monkeypatch
):
    monkeypatch.setattr(client_session, "REST_SECONDS", 0)
    romeo = host.connect("romeo@capulet.example/orchard")
    others = {"juliet": "romeo", "romeo": "juliet"}

    def remove_the_other(session):
        witness.gate.wait()
        host.kernel.accounts.remove(others[session.jid.localpart])

    witness.deed = remove_the_other
    for client in (juliet, romeo):
        client.message("nobody@capulet.example", "deed")
    witness.gate.set()
    until(lambda: witness.told.count("removed") == 2, "removal of both")
    assert list(host.kernel.accounts) == []


# Nobody waits for ever


def test_past_the_bound_the_end_is_told_all_the_same(server, host, juliet, witness, monkeypatch):
    monkeypatch.setattr(client_session, "REST_SECONDS", 0)
    session = session_of(host, juliet)
    juliet.send(f"<presence>{SLOW}</presence>")
    session.close()
    assert session.wait_until_cleared(5)
    assert witness.told == ["ending", "unavailable", "closed"]
    witness.gate.set()


def test_past_the_bound_presence_is_shown_to_nobody_who_would_not_hear_of_its_end(
    server, host, juliet, witness, monkeypatch
):
    monkeypatch.setattr(client_session, "REST_SECONDS", 0)
    session = session_of(host, juliet)
    juliet.send(f"<presence to='romeo@capulet.example'>{SLOW}</presence>")
    session.close()
    assert session.wait_until_cleared(5)
    witness.gate.set()
    server.settle()
    assert witness.told == ["ending", "closed"]


def test_who_comes_back_before_an_end_that_does_not_come_gets_a_similar_resource(
    server, host, juliet, witness, monkeypatch
):
    monkeypatch.setattr(resources, "ENDING_SECONDS", 0)
    juliet.send(f"<presence>{SLOW}</presence>")
    session_of(host, juliet).close()
    server.settle()
    assert host.connect(BALCONY).jid.resource.startswith("balcony.")
    witness.gate.set()


def test_a_session_that_lingers_does_not_make_room_for_more_than_there_may_be(
    server, host, juliet, witness, monkeypatch
):
    server.configure(limits={"sessions_per_account": 1})
    juliet.send(f"<presence>{SLOW}</presence>")
    session_of(host, juliet).close()
    server.settle()
    host.connect(CHAMBER)
    with pytest.raises(AssertionError, match="resource-constraint"):
        host.connect(BALCONY)
    witness.gate.set()


def test_where_there_is_no_room_no_similar_resource_is_given_either(server, host, juliet):
    server.configure(limits={"sessions_per_account": 1})
    with pytest.raises(AssertionError, match="resource-constraint"):
        host.connect(BALCONY, address="198.51.100.2")


def test_a_removal_goes_on_without_sessions_that_do_not_end(
    server, host, juliet, witness, monkeypatch
):
    monkeypatch.setattr(session_manager, "ENDING_SECONDS", 0)
    juliet.send(f"<presence>{SLOW}</presence>")
    remove(server, host)
    assert witness.told == ["removed"]
    (warning,) = server.logged("sessions of a removed account linger")
    assert warning["account"] == "juliet@capulet.example"
    witness.gate.set()


def test_a_server_that_stops_waits_for_half_of_its_time(server, host, juliet, witness):
    server.configure(limits={"shutdown_timeout": "200 ms"})
    juliet.send(f"<presence>{SLOW}</presence>")
    session_of(host, juliet).close()  # waits already
    chamber = host.connect(CHAMBER)
    chamber.message("romeo@capulet.example", "slow")
    witness.told.clear()
    server.kernel.stop()
    assert witness.told.count("closed") == 2
    assert "unavailable" in witness.told


class Hoarder:
    """Cannot forget an account while something is wrong."""

    def __init__(self, host, options):
        self.is_ill = True

    @hookimpl
    def stonechat_account_removed(self, account):
        if self.is_ill:
            raise LookupError("a bug")


def test_a_plugin_that_fails_to_forget_an_account_is_named_and_nothing_is_created(server, host):
    server.expect_errors()
    hoarder = host.enable("hoarder", plugin_class=Hoarder)
    with pytest.raises(CommandError, match="cannot be cleared by: hoarder"):
        server.command("register", jid="nurse@capulet.example", password=Secret("wherefore"))
    assert not host.kernel.accounts.exists("nurse")
    hoarder.is_ill = False
    host.create_account("nurse")


def test_a_session_of_a_lost_account_that_ends_already_is_waited_for_before_a_new_one(
    server, host, juliet, witness
):
    """What its end leaves behind is cleared with the rest."""
    juliet.send(f"<presence>{SLOW}</presence>")
    removing = gevent.spawn(remove, server, host)
    server.settle()
    assert not host.kernel.accounts.exists("juliet")
    creating = gevent.spawn(host.kernel.accounts.create, "juliet", "wherefore")
    server.settle()
    assert not host.kernel.accounts.exists("juliet")
    witness.gate.set()
    for greenlet in (removing, creating):
        greenlet.get(timeout=5)
    assert witness.told[-3:] == ["closed", "removed", "removed"]
