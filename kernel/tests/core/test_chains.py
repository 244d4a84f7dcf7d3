"""Hooks at work: who is called, in what order, and what happens when one fails."""

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pluggy import PluginValidationError

from stonechat import hookimpl, hookspecs
from stonechat.core import chains
from stonechat.core.chains import SAMPLE_EVERY, Hooks
from stonechat.errors import JIDError, StanzaError
from stonechat.jid import JID
from stonechat.plugin import HANDLED, concerns
from stonechat.stanza import Iq, Message, Presence
from stonechat.xml import Element

MARK = "urn:example:mark"


class Faults(list):
    """Keeps what was told about failures."""

    def __call__(self, call, error, stanza):
        self.append((call.plugin, call.hook, error, stanza))


@pytest.fixture
def faults():
    return Faults()


@pytest.fixture
def hooks(faults):
    return Hooks(faults)


class Plugin:
    """Writes down what it is called with, and answers as it is told."""

    def __init__(self, name, said, answer=None):
        self.name = name
        self.said = said
        self.answer = answer

    def note(self, *arguments):
        self.said.append((self.name, *arguments))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Plain(Plugin):
    @hookimpl
    def stonechat_message_to_user(self, message):
        return self.note()


class First(Plugin):
    @hookimpl(tryfirst=True)
    def stonechat_message_to_user(self, message):
        return self.note()


class Last(Plugin):
    @hookimpl(trylast=True)
    def stonechat_message_to_user(self, message):
        return self.note()


def names(said):
    return [name for name, *_ in said]


def marked(*payloads, type=""):
    return Message(*(Element(MARK, payload) for payload in payloads), type=type)


# Order and answers


def test_plugins_say_whether_they_come_first_or_last(hooks):
    said = []
    for kind, name in ((Last, "last"), (First, "first"), (Plain, "plain"), (Last, "very last")):
        hooks.add(name, kind(name, said))
    assert not hooks.message_to_user.run(Message())
    assert names(said)[0] == "first"
    assert names(said)[1] == "plain"
    assert set(names(said)[2:]) == {"last", "very last"}


def test_an_empty_chain_lets_everything_through(hooks):
    assert not hooks.message_to_user
    assert hooks.message_to_user.run(Message()) is False


def test_what_is_handled_is_seen_by_nobody_else(hooks):
    said = []
    hooks.add("last", Last("last", said))
    hooks.add("first", First("first", said, HANDLED))
    for _ in range(SAMPLE_EVERY + 1):  # one of these is timed
        said.clear()
        assert hooks.message_to_user.run(Message()) is True
        assert names(said) == ["first"]


@pytest.mark.parametrize("answer", [None, False, True, 0, "handled"])
def test_any_other_answer_lets_it_go_on(hooks, answer):
    said = []
    hooks.add("last", Last("last", said))
    hooks.add("first", First("first", said, answer))
    assert hooks.message_to_user.run(Message()) is False
    assert names(said) == ["first", "last"]


@pytest.mark.parametrize("error", [StanzaError("forbidden"), JIDError("no JID")])
def test_a_refusal_comes_out_as_it_is_and_is_no_fault(hooks, faults, error):
    said = []
    hooks.add("last", Last("last", said))
    hooks.add("first", First("first", said, error))
    for _ in range(SAMPLE_EVERY + 1):
        with pytest.raises(type(error)) as caught:
            hooks.message_to_user.run(Message())
        assert caught.value is error
    assert set(names(said)) == {"first"}
    assert faults == []


@pytest.mark.parametrize("error", [RuntimeError("Alack"), gevent.Timeout(1)])
def test_a_filter_that_fails_fails_closed(hooks, faults, error):
    said = []
    hooks.add("last", Last("last", said))
    hooks.add("first", First("first", said, error))
    stanza = Message()
    for _ in range(SAMPLE_EVERY + 1):
        with pytest.raises(StanzaError) as caught:
            hooks.message_to_user.run(stanza)
        assert caught.value.condition == "internal-server-error"
        assert caught.value.__cause__ is error
    assert set(names(said)) == {"first"}
    assert faults == [("first", "stonechat_message_to_user", error, stanza)] * (SAMPLE_EVERY + 1)


def test_a_greenlet_may_be_killed_in_a_hook(hooks, faults):
    hooks.add("first", First("first", [], gevent.GreenletExit()))
    with pytest.raises(gevent.GreenletExit):
        hooks.message_to_user.run(Message())
    assert faults == []


# Concerns


class Concerned(Plugin):
    @hookimpl
    @concerns(f"{MARK} a", f"{MARK} b", "type:headline")
    def stonechat_message_to_user(self, message):
        return self.note(message)


@pytest.mark.parametrize(
    ("message", "times"),
    [
        (marked(), 0),
        (marked("c"), 0),
        (marked("a"), 1),
        (marked("c", "b"), 1),
        (marked("a", "a"), 1),
        (marked("a", "b", "c"), 1),
        (marked("a", "b", type="headline"), 1),
        (marked(type="headline"), 1),
        (marked(type="chat"), 0),
        (Message(Element("urn:x", "a")), 0),
    ],
)
def test_a_filter_is_called_once_for_what_it_concerns_itself_with(hooks, message, times):
    said = []
    hooks.add("concerned", Concerned("concerned", said))
    for _ in range(SAMPLE_EVERY + 1):
        said.clear()
        hooks.message_to_user.run(message)
        assert said == [("concerned", message)] * times


class Normal(Plugin):
    @hookimpl
    @concerns("type:normal")
    def stonechat_message_to_user(self, message):
        return self.note()


class Available(Plugin):
    @hookimpl
    @concerns("type:")
    def stonechat_presence_to_user(self, presence):
        return self.note()


@pytest.mark.parametrize(
    ("type_", "is_normal"), [("", True), ("normal", True), ("soliloquy", True), ("chat", False)]
)
def test_a_type_is_what_rfc_6121_makes_of_it(hooks, type_, is_normal):
    said = []
    hooks.add("normal", Normal("normal", said))
    hooks.message_to_user.run(Message(type=type_))
    assert bool(said) is is_normal


def test_presence_without_a_type_can_be_a_concern(hooks):
    said = []
    hooks.add("available", Available("available", said))
    hooks.presence_to_user.run(Presence())
    hooks.presence_to_user.run(Presence(type="unavailable"))
    assert len(said) == 1


def test_concerns_must_name_something():
    with pytest.raises(ValueError, match="at least one"):
        concerns()


class A(Plugin):
    @hookimpl(tryfirst=True)
    @concerns(f"{MARK} a")
    def stonechat_message_to_user(self, message):
        return self.note()


class B(Plugin):
    @hookimpl(trylast=True)
    @concerns(f"{MARK} b", "type:chat")
    def stonechat_message_to_user(self, message):
        return self.note()


@given(st.lists(st.sampled_from("abc"), max_size=4), st.sampled_from(["", "chat"]))
def test_those_concerned_and_those_who_want_all_keep_their_order(payloads, type_):
    said = []
    hooks = Hooks(Faults())
    for kind, name in ((Plain, "plain"), (B, "b"), (A, "a")):
        hooks.add(name, kind(name, said))
    hooks.message_to_user.run(marked(*payloads, type=type_))
    expected = ["a"] * ("a" in payloads) + ["plain"]
    expected += ["b"] * ("b" in payloads or type_ == "chat")
    assert names(said) == expected


# Parameters


class Sparing(Plugin):
    @hookimpl
    def stonechat_message_from_user(self, message):
        return self.note(message)

    @hookimpl
    def stonechat_presence_from_user(self, session):
        return self.note(session)

    @hookimpl
    def stonechat_iq_from_user(self):
        return self.note()

    @hookimpl
    def stonechat_iq_to_user(self):
        return self.note()

    @hookimpl
    def stonechat_presence_changed(self, previous, session):
        return self.note(previous, session)


class Swapping(Plugin):
    @hookimpl
    def stonechat_message_from_user(self, message, session):
        return self.note(session, message)


class Complete(Plugin):
    @hookimpl
    def stonechat_message_from_user(self, session, message):
        return self.note(session, message)


def test_a_hook_takes_the_parameters_that_it_names(hooks):
    said = []
    hooks.add("sparing", Sparing("sparing", said))
    message, presence, iq = Message(), Presence(), Iq()
    hooks.message_from_user.run(message, "session")
    hooks.presence_from_user.run(presence, "session")
    hooks.iq_from_user.run(iq, "session")
    hooks.iq_to_user.run(iq)
    hooks.notify(
        "stonechat_presence_changed",
        {"session": "session", "presence": presence, "previous": "previous"},
    )
    assert [rest for _, *rest in said] == [
        [message],
        ["session"],
        [],
        [],
        ["previous", "session"],
    ]


@pytest.mark.parametrize("kind", [Swapping, Complete])
def test_parameters_are_told_by_name_not_by_place(hooks, kind):
    said = []
    message = Message()
    hooks.add("p", kind("p", said))
    hooks.message_from_user.run(message, "session")
    assert said == [("p", "session", message)]


# The other kinds of hooks


class Voices(Plugin):
    @hookimpl
    def stonechat_disco_features(self):
        return self.note()

    @hookimpl
    def stonechat_may_see_presence(self, account, watcher):
        return self.note(account, watcher)

    @hookimpl
    def stonechat_message_undelivered(self, message):
        return self.note(message)

    @hookimpl
    def stonechat_account_created(self, account):
        return self.note(account)


class LastVoices(Voices):
    @hookimpl(trylast=True)
    def stonechat_may_see_presence(self, account, watcher):
        return self.note(account, watcher)

    @hookimpl(trylast=True)
    def stonechat_account_created(self, account):
        return self.note(account)


JULIET = JID.parse("juliet@capulet.example")
ROMEO = JID.parse("romeo@montague.example")
WATCHED = {"account": JULIET, "watcher": ROMEO}


def test_answers_are_collected_with_the_names_of_those_who_gave_them(hooks):
    hooks.add("a", Voices("a", [], ["urn:a"]))
    hooks.add("b", Voices("b", [], ["urn:b"]))
    answers = hooks.collect("stonechat_disco_features", {})
    assert sorted(answers) == [("a", ["urn:a"]), ("b", ["urn:b"])]
    assert hooks.answers("stonechat_disco_features", "b") == [["urn:b"]]
    assert hooks.answers("stonechat_disco_features", "c") == []


def test_one_whose_answer_cannot_be_collected_keeps_none_of_the_others(hooks, faults):
    error = RuntimeError("Alack")
    hooks.add("a", Voices("a", [], ["urn:a"]))
    hooks.add("b", Voices("b", [], error))
    assert hooks.collect("stonechat_disco_features", {}) == [("a", ["urn:a"])]
    assert faults == [("b", "stonechat_disco_features", error, None)]
    with pytest.raises(RuntimeError):
        hooks.answers("stonechat_disco_features", "b")


def test_the_first_answer_wins(hooks):
    said = []
    hooks.add("last", LastVoices("last", said, True))
    hooks.add("first", Voices("first", said, False))
    assert hooks.first("stonechat_may_see_presence", WATCHED) is False
    assert names(said) == ["first"]


def test_who_has_no_answer_leaves_it_to_the_next(hooks):
    hooks.add("last", LastVoices("last", [], True))
    hooks.add("first", Voices("first", []))
    assert hooks.first("stonechat_may_see_presence", WATCHED) is True
    hooks.remove(hooks.manager.get_plugin("last"))
    assert hooks.first("stonechat_may_see_presence", WATCHED) is None


@pytest.mark.parametrize("error", [RuntimeError("Alack"), gevent.Timeout(1)])
def test_who_fails_to_answer_leaves_it_to_the_next(hooks, faults, error):
    hooks.add("last", LastVoices("last", [], True))
    hooks.add("first", Voices("first", [], error))
    assert hooks.first("stonechat_may_see_presence", WATCHED) is True
    assert [(plugin, found) for plugin, _, found, _ in faults] == [("first", error)]


def test_an_answer_may_be_a_refusal(hooks, faults):
    hooks.add("a", Voices("a", [], StanzaError("resource-constraint")))
    with pytest.raises(StanzaError, match="resource-constraint"):
        hooks.first("stonechat_message_undelivered", {"message": Message()})
    assert faults == []


@pytest.mark.parametrize(
    "error", [RuntimeError("Alack"), StanzaError("forbidden"), gevent.Timeout(1)]
)
def test_a_notice_reaches_all_whoever_fails(hooks, faults, error):
    said = []
    hooks.add("last", LastVoices("last", said))
    hooks.add("first", Voices("first", said, error))
    hooks.notify("stonechat_account_created", {"account": JULIET})
    assert said == [("first", JULIET), ("last", JULIET)]
    assert faults == [("first", "stonechat_account_created", error, None)]


def test_a_fault_is_told_with_the_stanza_that_caused_it(hooks, faults):
    message = Message()
    hooks.add("a", Voices("a", [], RuntimeError()))
    hooks.first("stonechat_message_undelivered", {"message": message})
    assert faults[0][3] is message


# What it costs


class Clock:
    """Each look at it takes a second."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        self.now += 1.0
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(chains, "time", clock)
    return clock


def call_of(hooks, hook):
    return next(call for call in hooks.calls() if call.hook == hook)


def test_one_run_of_a_filter_in_so_many_is_counted_and_timed(hooks, clock):
    hooks.add("plain", Plain("plain", []))
    call = call_of(hooks, "stonechat_message_to_user")
    for _ in range(3 * SAMPLE_EVERY):
        hooks.message_to_user.run(Message())
    assert (call.calls, call.seconds, call.errors) == (3, 3.0, 0)
    assert clock.now == 6.0  # nobody looked at the clock for the others


def test_a_filter_that_fails_is_timed_too_and_every_error_is_counted(hooks, clock):
    hooks.add("plain", Plain("plain", [], RuntimeError()))
    call = call_of(hooks, "stonechat_message_to_user")
    for _ in range(SAMPLE_EVERY):
        with pytest.raises(StanzaError):
            hooks.message_to_user.run(Message())
    assert (call.calls, call.seconds, call.errors) == (1, 1.0, SAMPLE_EVERY)


def test_who_is_not_concerned_is_not_counted(hooks, clock):
    hooks.add("concerned", Concerned("concerned", []))
    for _ in range(SAMPLE_EVERY):
        hooks.message_to_user.run(Message())
    call = call_of(hooks, "stonechat_message_to_user")
    assert (call.calls, call.seconds) == (0, 0.0)


def test_all_other_hooks_are_counted_each_time_on_the_scale_of_the_samples(hooks, clock):
    hooks.add("a", Voices("a", [], RuntimeError()))
    for _ in range(5):
        hooks.notify("stonechat_account_created", {"account": JULIET})
    call = call_of(hooks, "stonechat_account_created")
    assert (call.calls, call.seconds * SAMPLE_EVERY, call.errors) == (5, 5.0, 5)


def test_counts_stay_when_others_come_and_go(hooks, clock):
    hooks.add("a", Voices("a", []))
    hooks.notify("stonechat_account_created", {"account": JULIET})
    other = Plain("other", [])
    hooks.add("other", other)
    hooks.notify("stonechat_account_created", {"account": JULIET})
    hooks.remove(other)
    assert call_of(hooks, "stonechat_account_created").calls == 2


# Coming and going


def test_chains_follow_those_who_come_and_go(hooks):
    said = []
    version = hooks.version
    plain, first = Plain("plain", said), First("first", said)
    hooks.add("plain", plain)
    hooks.add("first", first)
    hooks.message_to_user.run(Message())
    hooks.remove(first)
    hooks.message_to_user.run(Message())
    hooks.remove(plain)
    hooks.message_to_user.run(Message())
    assert names(said) == ["first", "plain", "plain"]
    assert not hooks.message_to_user
    assert hooks.version == version + 4


def test_a_chain_that_is_at_work_is_not_changed_under_its_feet(hooks):
    said = []
    last = Last("last", said)

    class Leaving(Plugin):
        @hookimpl(tryfirst=True)
        def stonechat_message_to_user(self, message):
            hooks.remove(last)
            return self.note()

    hooks.add("last", last)
    hooks.add("leaving", Leaving("leaving", said))
    hooks.message_to_user.run(Message())
    assert names(said) == ["leaving", "last"]


class Unknown(Plugin):
    @hookimpl
    def stonechat_message_to_user(self, message):
        return self.note()

    @hookimpl
    def stonechat_mesage_to_user(self, message):
        return self.note()


class WrongParameter(Plugin):
    @hookimpl
    def stonechat_account_created(self, account):
        return self.note()

    @hookimpl
    def stonechat_message_to_user(self, msg):
        return self.note()


class Wrapping(Plugin):
    @hookimpl
    def stonechat_account_created(self, account):
        return self.note()

    @hookimpl(wrapper=True)
    def stonechat_message_to_user(self, message):
        return (yield)


class OldWrapping(Plugin):
    @hookimpl(hookwrapper=True)
    def stonechat_message_to_user(self, message):
        yield


@pytest.mark.parametrize("kind", [Unknown, WrongParameter, Wrapping, OldWrapping])
def test_a_hook_that_is_none_is_refused_and_leaves_nothing(hooks, kind):
    version = hooks.version
    plugin = kind("bad", [])
    with pytest.raises(PluginValidationError, match=r"me.*sage_to_user"):
        hooks.add("bad", plugin)
    assert not hooks.manager.is_registered(plugin)
    assert hooks.version == version
    good = Plain("good", [])
    hooks.add("good", good)
    assert [call.plugin for call in hooks.calls()] == ["good"]


def test_every_filter_has_its_chain(hooks):
    filters = {name for name, kind in hookspecs.KINDS.items() if kind == "filters"}
    assert {name for name in filters if hasattr(hooks, name.removeprefix("stonechat_"))} == filters
