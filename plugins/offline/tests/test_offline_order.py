"""What is old comes before what is new, whatever happens meanwhile."""

from gevent.event import Event
from offline_cast import DEADLINE, JULIET, ROMEO, Gate, acknowledge, arrive, bodies, lines, spool

from stonechat import hookimpl
from stonechat.jid import JID
from stonechat.namespaces import NS_DELAY
from stonechat.sasl import BOUND_INLINE
from stonechat.stanza import Element, Message
from stonechat_offline.backlog import MAX_HELD, MAX_HELD_BYTES

HOUR = 3600


def test_a_message_that_comes_during_the_delivery_waits_its_turn(host, romeo, gate):
    spool(romeo, *lines(3))
    reading = gate("first", before=True)
    juliet = arrive(host)
    romeo.message(JULIET, "new")
    romeo.message(f"{JULIET}/balcony", "newer")
    assert bodies(juliet) == []
    reading.opened.set()
    host.server.settle()
    assert bodies(juliet) == [*lines(3), "new", "newer"]
    romeo.message(JULIET, "newest")
    assert bodies(juliet) == ["newest"]


def test_what_has_only_waited_its_turn_says_nothing_of_that(host, romeo, gate):
    spool(romeo, "old")
    reading = gate("first", before=True)
    juliet = arrive(host)
    romeo.message(JULIET, "new")
    reading.opened.set()
    stamped = [juliet.receive_message().has(NS_DELAY, "delay") for _ in range(2)]
    assert stamped == [True, False]


def test_too_many_of_them_go_to_the_spool_and_keep_their_place(host, romeo, gate):
    spool(romeo, *lines(3))
    reading = gate("first", before=True)
    juliet = arrive(host)
    spool(romeo, *lines(3, 100))
    assert host.plugin("offline").count(JID.parse(JULIET)) == 100 - MAX_HELD
    reading.opened.set()
    assert [juliet.receive_message().body for _ in range(100)] == lines(100)


def test_so_do_those_that_are_too_large_to_be_held(host, romeo, gate):
    spool(romeo, "0")
    reading = gate("first", before=True)
    juliet = arrive(host)
    large = [f"{number}" + "x" * (MAX_HELD_BYTES // 2) for number in range(5)]
    spool(romeo, *large)
    assert host.kernel.session(juliet.jid).unsent < 2 * MAX_HELD_BYTES
    assert host.plugin("offline").count(JID.parse(JULIET)) == 4
    reading.opened.set()
    assert [juliet.receive_message().body for _ in range(6)] == ["0", *large]


def test_what_is_being_kept_comes_before_what_comes_meanwhile(host, romeo, gate):
    nurse = host.connect("nurse@capulet.example/garden")
    writing = gate("put", before=True)
    romeo.message(JULIET, "being kept")
    assert writing.reached.is_set()
    juliet = arrive(host)
    nurse.message(JULIET, "new")
    assert bodies(juliet) == []
    writing.opened.set()
    assert [juliet.receive_message().body for _ in range(2)] == ["being kept", "new"]


def test_what_is_old_comes_first_where_the_clock_was_set_back_over_a_restart(
    server, host, romeo, monkeypatch
):
    spool(romeo, *lines(3))
    server.clock.jump(-HOUR)
    server.restart()
    romeo = host.connect(ROMEO)
    romeo.message(JULIET, "3")
    reading = Gate(monkeypatch, host.plugin("offline").spool, "first", before=True)
    juliet = arrive(host)
    romeo.message(JULIET, "new")
    reading.opened.set()
    host.server.settle()
    assert bodies(juliet) == [*lines(4), "new"]


def test_no_more_is_sent_at_once_than_stream_management_lets_wait(server):
    host = server.host("capulet.example", offline={}, sm={"max_unacked": 10})
    host.create_account("juliet")
    spool(host.connect(ROMEO), *lines(50))
    juliet = arrive(host, managed=True)
    heard = []
    for _ in range(50):
        heard += bodies(juliet)
        acknowledge(juliet, len(heard))
        if len(heard) == 50:
            break
    assert heard == lines(50)
    assert not juliet.is_closed


def test_nothing_slips_in_while_other_plugins_look_at_her_presence(host, romeo):
    class Dawdler:
        def __init__(self, host, options):
            self.goes_on = Event()

        @hookimpl
        def stonechat_presence_changed(self, session, presence, previous):
            assert self.goes_on.wait(DEADLINE)

    dawdler = host.enable("dawdler", plugin_class=Dawdler)
    spool(romeo, "old")
    juliet = arrive(host)
    romeo.message(JULIET, "new")
    dawdler.goes_on.set()
    host.server.settle()
    assert bodies(juliet) == ["old", "new"]


def test_presence_does_not_wait(host, romeo, gate):
    spool(romeo, *lines(1))
    reading = gate("first", before=True)
    juliet = arrive(host)
    host.connect(ROMEO.replace("orchard", "street")).send(f"<presence to='{JULIET}/balcony'/>")
    assert juliet.receive_presence().from_.localpart == "romeo"
    reading.opened.set()


def test_what_was_held_for_a_lost_session_is_kept(host, romeo, gate):
    spool(romeo, *lines(1))
    reading = gate("first", before=True)
    juliet = arrive(host)
    romeo.message(JULIET, "new")
    juliet.drop()
    reading.opened.set()
    host.server.settle()
    again = arrive(host, "chamber")
    assert bodies(again) == ["0", "new"]


def test_nothing_is_left_to_wait_for_when_all_has_gone_on(host, romeo, gate):
    spool(romeo, *lines(1))
    reading = gate("first", before=True)
    juliet = arrive(host)
    romeo.message(JULIET, "new")
    assert host.kernel.session_manager.gates != ()
    juliet.drop()
    reading.opened.set()
    host.server.settle()
    assert host.kernel.session_manager.gates == ()
    deliveries = host.plugin("offline").deliveries
    assert not deliveries.returns._excused
    assert not deliveries._endings


def test_another_session_does_not_wait_for_one_that_is_slow(host, romeo, gate):
    spool(romeo, *lines(1))
    reading = gate("first", before=True)
    juliet = arrive(host)
    other = arrive(host, "chamber", priority=5)
    host.server.settle()
    romeo.message(JULIET, "new")
    assert bodies(other) == ["new"]
    reading.opened.set()
    host.server.settle()
    assert bodies(juliet) == ["0"]


def test_what_the_account_itself_sends_does_not_wait(host, romeo, gate):
    spool(romeo, *lines(1))
    reading = gate("first", before=True)
    juliet = arrive(host)
    host.kernel.session(juliet.jid).send(
        Message(Element("urn:xmpp:mam:2", "result"), from_=juliet.bare, to=juliet.jid)
    )
    assert juliet.receive_message().has("urn:xmpp:mam:2", "result")
    reading.opened.set()


def test_who_has_bound_inline_gets_from_the_archive_what_is_there(host, romeo):
    archived = Element("urn:xmpp:sid:0", "stanza-id", {"by": JULIET, "id": "1"})
    plugin = host.plugin("offline")
    for body, marks in (("archived", [archived]), ("not archived", [])):
        message = Message(
            Element("jabber:client", "body", None, body),
            *marks,
            to=JID.parse(JULIET),
            from_=romeo.jid,
        )
        assert plugin.keep("juliet", message)
    juliet = host.connect(f"{JULIET}/balcony")
    host.kernel.session(juliet.jid).data[BOUND_INLINE] = True
    juliet.available()
    host.server.settle()
    assert bodies(juliet) == ["not archived"]
    assert plugin.count(JID.parse(JULIET)) == 0
