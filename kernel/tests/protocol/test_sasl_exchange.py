"""The exchange: order, base 64, counting, and a whole login."""

import base64

import pytest
import scramp
from hypothesis import given
from hypothesis import strategies as st

from stonechat.auth import AuthUnavailable, decoy_scram, derive_scram
from stonechat.errors import SaslFailure, StorageError
from stonechat.jid import JID
from stonechat.protocol.sasl import SaslExchange, mechanism_maker
from stonechat.protocol.sasl.encoding import decode_base64
from stonechat.protocol.sasl.exchange import MAX_TEXT
from stonechat.sasl import Challenge, Mechanism, SaslChallenge, SaslFailed, SaslSuccess, Success

JULIET = JID.parse("juliet@capulet.example")


class Script(Mechanism):
    """Says what it is told to say: a word per step, and keeps what it heard."""

    def __init__(self, name, *outcomes):
        super().__init__(name, "capulet.example", None)
        self.outcomes = list(outcomes)
        self.heard = []

    def step(self, response):
        self.heard.append(response)
        self.localpart = "juliet"
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def exchange(*outcomes, limit=3):
    """An exchange with one mechanism; also the list of the mechanisms it made."""
    made = []

    def make(name):
        made.append(Script(name, *outcomes))
        return made[-1]

    return SaslExchange(("TOY",), make, failure_limit=limit), made


def b64(data):
    return base64.b64encode(data).decode()


def condition(event):
    assert isinstance(event, SaslFailed)
    return event.failure.condition


def test_an_initial_response_saves_a_round():
    sasl, made = exchange(Success(JULIET, b"sweet sorrow"))
    event = sasl.begin("TOY", b64(b"hello"))
    assert event == SaslSuccess(JULIET, b64(b"sweet sorrow"), "TOY")
    assert made[0].heard == [b"hello"]


def test_challenges_and_responses_alternate():
    sasl, made = exchange(Challenge(b"who?"), Challenge(b"\0\xff"), Success(JULIET))
    assert sasl.begin("TOY", b64(b"one")) == SaslChallenge(b64(b"who?"))
    assert sasl.respond(b64(b"two")) == SaslChallenge(b64(b"\0\xff"))
    assert sasl.respond(b64(b"three")) == SaslSuccess(JULIET, "", "TOY")
    assert made[0].heard == [b"one", b"two", b"three"]


def test_without_an_initial_response_the_client_is_asked_for_it():
    sasl, made = exchange(Success(JULIET))
    assert sasl.begin("TOY", "") == SaslChallenge("")
    assert made[0].heard == []
    assert sasl.respond(b64(b"late")) == SaslSuccess(JULIET, "", "TOY")
    assert made[0].heard == [b"late"]


def test_an_equals_sign_is_an_initial_response_of_no_length():
    sasl, made = exchange(Success(JULIET))
    assert isinstance(sasl.begin("TOY", "="), SaslSuccess)
    assert made[0].heard == [b""]


@pytest.mark.parametrize("text", ["", "="])
def test_an_empty_response_is_written_in_two_ways(text):
    sasl, made = exchange(Challenge(b"?"), Success(JULIET))
    sasl.begin("TOY", b64(b"hello"))
    assert isinstance(sasl.respond(text), SaslSuccess)
    assert made[0].heard == [b"hello", b""]


@pytest.mark.parametrize("name", ["", "toy", "TOY ", "PLAIN"])
def test_a_mechanism_that_is_not_offered_is_invalid(name):
    sasl, made = exchange(Success(JULIET))
    assert condition(sasl.begin(name, b64(b"hello"))) == "invalid-mechanism"
    assert made == []


@pytest.mark.parametrize(
    "text",
    [
        *("A", "AB", "AB=", "A===", "====", "==", "=AAA", "AA=A", "AA==AA==", "AA===", "AAAA="),
        *("AA AA", " AAAA", "AAAA\n", "AA\tAA", "AA-_", "AAé=", "\0AAA", "AAA\u0661"),
        *("AB==", "AAB="),  # bits that stand for nothing
    ],
)
def test_what_is_not_exactly_base_64_is_an_incorrect_encoding(text):
    sasl, made = exchange(Success(JULIET))
    assert condition(sasl.begin("TOY", text)) == "incorrect-encoding"
    assert made[0].heard == []
    assert isinstance(sasl.begin("TOY", "AAAA"), SaslSuccess)


@given(st.binary())
def test_each_data_has_one_base_64_text(data):
    assert decode_base64(b64(data)) == data


def test_data_is_refused_past_the_limit_and_not_at_it():
    sasl, made = exchange(Challenge(b"?"), Challenge(b"?"))
    assert isinstance(sasl.begin("TOY", "A" * MAX_TEXT), SaslChallenge)
    assert condition(sasl.respond("A" * (MAX_TEXT + 4))) == "malformed-request"
    assert len(made[0].heard) == 1


def test_a_response_to_nothing_is_out_of_order():
    sasl, _ = exchange(Success(JULIET))
    assert condition(sasl.respond("AAAA")) == "malformed-request"


def test_a_second_beginning_ends_the_first_attempt():
    sasl, made = exchange(Challenge(b"?"), Success(JULIET))
    sasl.begin("TOY", "AAAA")
    assert condition(sasl.begin("TOY", "AAAA")) == "malformed-request"
    assert condition(sasl.respond("AAAA")) == "malformed-request"
    assert len(made) == 1


def test_an_abort_ends_the_attempt():
    sasl, _ = exchange(Challenge(b"?"), Success(JULIET))
    sasl.begin("TOY", "AAAA")
    assert condition(sasl.abort()) == "aborted"
    assert condition(sasl.respond("AAAA")) == "malformed-request"


def test_an_abort_of_nothing_is_answered_too():
    sasl, _ = exchange()
    assert condition(sasl.abort()) == "aborted"


def test_after_success_there_is_nothing_left_to_do():
    sasl, made = exchange(Success(JULIET))
    sasl.begin("TOY", "AAAA")
    for _ in range(2):
        assert condition(sasl.begin("TOY", "AAAA")) == "malformed-request"
        assert condition(sasl.respond("AAAA")) == "malformed-request"
        assert condition(sasl.abort()) == "aborted"
    assert len(made) == 1


def test_a_mechanisms_failure_comes_through_with_the_account_it_was_about():
    failure = SaslFailure("not-authorized", "no")
    sasl, _ = exchange(failure)
    assert sasl.begin("TOY", "AAAA") == SaslFailed(failure, "juliet", is_last=False)


def test_a_failure_before_any_name_is_about_no_account():
    sasl, _ = exchange(SaslFailure("not-authorized"))
    sasl.begin("TOY", "AAAA")
    assert sasl.begin("NONE", "AAAA").localpart == ""


@pytest.mark.parametrize("error", [AuthUnavailable("no answer"), StorageError("no disk")])
def test_a_store_that_is_away_is_a_temporary_failure_and_keeps_its_cause(error):
    sasl, _ = exchange(error)
    event = sasl.begin("TOY", "AAAA")
    assert condition(event) == "temporary-auth-failure"
    assert event.failure.__cause__ is error
    assert "no " not in event.failure.text


def test_an_unforeseen_error_comes_through_and_leaves_no_half_done_attempt():
    sasl, _ = exchange(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        sasl.begin("TOY", "AAAA")
    assert condition(sasl.respond("AAAA")) == "malformed-request"
    assert sasl.refuse(SaslFailure("temporary-auth-failure")).localpart == "juliet"


def test_a_success_can_be_taken_back_before_it_is_sent():
    sasl, _ = exchange(Success(JULIET))
    sasl.begin("TOY", "AAAA")
    event = sasl.refuse(SaslFailure("account-disabled"))
    assert (condition(event), event.localpart) == ("account-disabled", "juliet")
    assert isinstance(sasl.begin("TOY", "AAAA"), SaslSuccess)


def test_the_third_failure_is_the_last():
    sasl, _ = exchange(SaslFailure("not-authorized"))
    assert [sasl.begin("TOY", "AAAA").is_last for _ in range(4)] == [False, False, True, True]
    assert sasl.failures == 4


def test_every_kind_of_failure_counts():
    sasl, _ = exchange(Challenge(b"?"), limit=5)
    sasl.begin("TOY", "AAAA")
    events = [
        sasl.abort(),
        sasl.respond("AAAA"),
        sasl.begin("NONE", ""),
        sasl.begin("TOY", "!"),
        sasl.refuse(SaslFailure("account-disabled")),
    ]
    assert [event.is_last for event in events] == [False] * 4 + [True]


def test_success_after_a_failure_is_still_success():
    outcomes = [SaslFailure("not-authorized"), Success(JULIET)]
    sasl = SaslExchange(("TOY",), lambda name: Script(name, outcomes.pop(0)))
    assert condition(sasl.begin("TOY", "AAAA")) == "not-authorized"
    assert isinstance(sasl.begin("TOY", "AAAA"), SaslSuccess)


class Accounts:
    def __init__(self):
        self.juliet = derive_scram("wherefore", "SHA-256", b"sixteen octets !", 4096)

    def check_password(self, localpart, password):
        return (localpart, password) == ("juliet", "wherefore")

    def scram_credentials(self, localpart, hash_name):
        return self.juliet if (localpart, hash_name) == ("juliet", "SHA-256") else None

    def decoy_credentials(self, localpart, hash_name):
        return decoy_scram(b"secret", localpart, hash_name, 4096)

    def certificate_accounts(self):
        return (JULIET, JID.parse("nurse@capulet.example"))


OFFERED = ("EXTERNAL", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN")
BINDINGS = {"tls-server-end-point": b"hash of the certificate"}
ACCOUNTS = Accounts()


def real_exchange():
    make = mechanism_maker("capulet.example", ACCOUNTS, offered=OFFERED, bindings=BINDINGS)
    return SaslExchange(OFFERED, make)


def test_an_independent_client_logs_in_by_scram_with_channel_binding():
    client = scramp.ScramClient(
        [name for name in OFFERED if name.startswith("SCRAM")],
        "juliet",
        "wherefore",
        channel_binding=next(iter(BINDINGS.items())),
    )
    assert client.mechanism_name == "SCRAM-SHA-256-PLUS"
    sasl = real_exchange()
    challenge = sasl.begin("SCRAM-SHA-256-PLUS", b64(client.get_client_first().encode()))
    client.set_server_first(base64.b64decode(challenge.text).decode())
    success = sasl.respond(b64(client.get_client_final().encode()))
    client.set_server_final(base64.b64decode(success.text).decode())
    assert success.account == JULIET


def test_a_client_whose_offer_was_stripped_of_plus_does_not_get_in():
    """RFC 5802, section 6: it could bind, saw no -PLUS, and says so by its flag."""
    client = scramp.ScramClient(
        ["SCRAM-SHA-256"], "juliet", "wherefore", channel_binding=next(iter(BINDINGS.items()))
    )
    first = client.get_client_first()
    assert first.startswith("y,,")
    event = real_exchange().begin("SCRAM-SHA-256", b64(first.encode()))
    assert condition(event) == "not-authorized"


def test_plain_and_external_log_in():
    assert real_exchange().begin("PLAIN", b64(b"\0juliet\0wherefore")).account == JULIET
    assert real_exchange().begin("EXTERNAL", b64(b"juliet@capulet.example")).account == JULIET


def test_external_of_several_accounts_wants_a_name():
    sasl = real_exchange()
    assert sasl.begin("EXTERNAL", "") == SaslChallenge("")
    assert condition(sasl.respond("=")) == "invalid-authzid"


TEXTS = st.one_of(
    st.text(max_size=20),
    st.binary(max_size=40).map(b64),
    st.sampled_from(["", "=", b64(b"n,,n=juliet,r=abc"), b64(b"\0juliet\0x"), b64(b"\0a b\0x")]),
)
INPUTS = st.one_of(
    st.tuples(st.just("begin"), st.sampled_from([*OFFERED, "SCRAM-MD5"]), TEXTS),
    st.tuples(st.just("respond"), TEXTS),
    st.tuples(st.just("abort")),
)


@given(st.lists(INPUTS, max_size=8))
def test_any_sequence_of_any_input_gets_challenges_and_counted_failures(inputs):
    sasl = real_exchange()
    failures = 0
    for method, *arguments in inputs:
        event = getattr(sasl, method)(*arguments)
        if isinstance(event, SaslFailed):
            failures += 1
            assert event.is_last is (failures >= 3)
        else:
            assert isinstance(event, SaslChallenge)
        assert sasl.failures == failures


# Mechanisms of plugins


def test_a_mechanism_that_is_not_offered_to_all_is_made_by_its_own_maker():
    sasl, made = exchange(Success(JULIET))
    event = sasl.begin("TOKEN", b64(b"x"), lambda name: Script(name, Success(JULIET)))
    assert event == SaslSuccess(JULIET, "", "TOKEN")
    assert made == []


def test_a_maker_may_refuse():
    def refuse(name):
        raise SaslFailure("invalid-mechanism")

    sasl, _ = exchange(Success(JULIET))
    assert condition(sasl.begin("TOKEN", b64(b"x"), refuse)) == "invalid-mechanism"
    assert sasl.failures == 1
    assert isinstance(sasl.begin("TOY", b64(b"x")), SaslSuccess)
