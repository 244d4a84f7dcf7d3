"""The Receiving Server: lets other domains in once their own server has vouched for them.

(XEP-0220, 2.1.2 and 2.2.1.) A stranger says which server we ask, so everything here has
its bound and its deadline.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Any

from gevent.event import AsyncResult

from stonechat.errors import StanzaError, StreamError
from stonechat.federation import Pair, ServerStream
from stonechat.host import Host
from stonechat.namespaces import NS_DIALBACK
from stonechat.stanza import Element
from stonechat_dialback.dialogue import Dialogue, dialogue_of, drop
from stonechat_dialback.elements import ANSWERS, Refusal, Word

# Keys that are being verified: of one stream, of one network, of a host.
MOST_OF_STREAM = 10
MOST_OF_NETWORK = 20
MOST_AT_ONCE = 200

# Pairs that are let in on one stream; the next ones take another.
MOST_PROVEN = 500

# Who has proven nothing may fail so often.
MOST_FAILURES = 10

# What makes a key we need not know, but it is no book.
LONGEST_KEY = 1024


class Verification:
    """One key on its way: to the domain's server, and back."""

    __slots__ = ("dialogue", "greenlet", "network", "stream", "word")

    def __init__(self, stream: ServerStream, dialogue: Dialogue, word: Word) -> None:
        self.stream = stream
        self.dialogue = dialogue
        self.word = word
        self.network = _network(stream.address)
        self.greenlet: Any = None


class Receiving:
    """Has keys verified, and says what came of it."""

    def __init__(self, host: Host, timeout: float) -> None:
        self._host = host
        self._timeout = timeout
        self._under_way: set[Verification] = set()

    # What the peers of other servers' streams want

    def asked(self, stream: ServerStream, word: Word) -> None:
        """A peer shows a key: it wants to speak for a domain."""
        if stream.is_outgoing:
            if stream.is_bidirectional:
                # It may ask so by XEP-0288, 2.2; it is told to come over a stream of its own.
                text = "Further domains come over another stream."
                stream.send_element(word.error(Refusal("resource-constraint", text)))
            else:
                drop(self._host, stream, word)
            return
        if stream.is_authorized(word.pair):
            stream.send_element(word.answer("valid"))
            return
        dialogue = dialogue_of(stream)
        if word.pair in dialogue.verifying:
            # It will be answered.
            drop(self._host, stream, word)
            return
        try:
            self._check(stream, word.pair)
            self._check_room(stream, dialogue)
            if stream.has_certificate_of(word.pair.remote):
                # Better than any key, and asked of nobody.
                self._let_in(stream, word, "certificate")
                return
            if not 0 < len(word.key) <= LONGEST_KEY:
                raise Refusal("bad-request", "This is no key.")
        except Refusal as refusal:
            self._refuse(stream, word, refusal)
            return
        self._begin(Verification(stream, dialogue, word))

    def closed(self, stream: ServerStream) -> None:
        """Nobody waits for answers over it any more, and none will come."""
        dialogue = dialogue_of(stream)
        for verification in dialogue.verifying.values():
            verification.greenlet.kill(block=False)
        for answer in dialogue.questions.values():
            answer.set_exception(_no_answer())

    def _check(self, stream: ServerStream, pair: Pair) -> None:
        """Raise Refusal where a key cannot be enough, or could never be."""
        local, remote = pair
        if not self._host.serves(local):
            raise Refusal("item-not-found", f"{local} is not served here.")
        if self._host.serves(remote):
            # We would ask ourselves.
            raise Refusal("not-allowed", f"{remote} is one of our own domains.")
        trust = stream.trust(remote, local)
        if trust is None:
            raise Refusal("not-allowed", f"{local} does not speak with {remote}.")
        if trust != "any" and not stream.is_secure:
            raise Refusal("policy-violation", "The stream has to be encrypted first.")
        if trust == "require" and not stream.has_certificate_of(remote):
            raise Refusal("not-authorized", f"A certificate for {remote} is wanted.")

    def _check_room(self, stream: ServerStream, dialogue: Dialogue) -> None:
        if dialogue.proven >= MOST_PROVEN:
            raise Refusal("resource-constraint", "This stream has domains enough.")
        if len(dialogue.verifying) >= MOST_OF_STREAM:
            raise Refusal("resource-constraint", "Wait for the answers to the other keys.")
        network = _network(stream.address)
        from_there = sum(each.network == network for each in self._under_way)
        if from_there >= MOST_OF_NETWORK or len(self._under_way) >= MOST_AT_ONCE:
            raise Refusal("resource-constraint", "Too many keys are being verified.")

    # In a greenlet of its own: meanwhile the stream goes on

    def _begin(self, verification: Verification) -> None:
        verification.dialogue.verifying[verification.word.pair] = verification
        self._under_way.add(verification)
        verification.greenlet = self._host.spawn(self._verify, verification)
        # Also where it is killed before it begins.
        verification.greenlet.link(lambda _: self._over(verification))

    def _over(self, verification: Verification) -> None:
        self._under_way.discard(verification)
        verifying, pair = verification.dialogue.verifying, verification.word.pair
        if verifying.get(pair) is verification:
            del verifying[pair]

    def _verify(self, verification: Verification) -> None:
        outcome: str | Refusal
        try:
            outcome = self._ask(verification)
        except Refusal as refusal:
            outcome = refusal
        self._over(verification)
        stream, word = verification.stream, verification.word
        if dialogue_of(stream) is not verification.dialogue:
            # Where the stream was begun anew, this is not what was asked for.
            return
        try:
            if isinstance(outcome, Refusal):
                raise outcome
            # It may be another configuration by now.
            self._check(stream, word.pair)
        except Refusal as refusal:
            self._refuse(stream, word, refusal)
            return
        if outcome == "valid":
            self._let_in(stream, word, "dialback")
        else:
            self._reject(stream, word)

    def _ask(self, verification: Verification) -> str:
        """The answer of the domain's own server, `"valid"` or `"invalid"`; else Refusal."""
        host, pair = self._host, verification.word.pair
        until = host.monotonic() + self._timeout
        try:
            with host.server_stream(pair, self._timeout) as stream:
                return self._ask_over(stream, verification, until - host.monotonic())
        except StanzaError as error:
            # It was not as far as to be asked.
            condition = error.condition
            if condition == "remote-server-timeout":
                condition = "remote-connection-failed"
            raise Refusal(condition, error.text) from error

    def _ask_over(self, stream: ServerStream, verification: Verification, seconds: float) -> str:
        word = verification.word
        stream_id = verification.dialogue.stream_id
        question = (word.pair, stream_id)
        questions = dialogue_of(stream).questions
        answer: AsyncResult[str] = AsyncResult()
        questions[question] = answer
        timer = self._host.call_later(max(seconds, 0.0), answer.set_exception, _no_answer())
        try:
            asked = word.element.attributes
            attributes = {"from": asked["to"], "to": asked["from"], "id": stream_id}
            stream.send_element(Element(NS_DIALBACK, "verify", attributes, word.key))
            said: str = answer.get()
        finally:
            timer.cancel()
            questions.pop(question, None)
        return said

    def answered(self, stream: ServerStream, word: Word) -> None:
        """The server of a domain says whether a key is its own: counts if we asked it here."""
        questions, question = dialogue_of(stream).questions, (word.pair, word.id)
        if question not in questions or word.type not in ANSWERS:
            drop(self._host, stream, word)
            return
        answer = questions.pop(question)
        if word.type == "error":
            # 2.5 has this one for all errors of step 3.
            text = f"The server of {word.pair.remote} has answered {word.condition}."
            answer.set_exception(Refusal("remote-server-not-found", text))
        else:
            answer.set(word.type)

    # What came of it

    def _let_in(self, stream: ServerStream, word: Word, way: str) -> None:
        dialogue_of(stream).proven += 1
        # Before anything that waits for a stream for both directions.
        stream.send_element(word.answer("valid"))
        stream.authorize(word.pair, way)

    def _reject(self, stream: ServerStream, word: Word) -> None:
        """The key is not its domain's: who has sent it is not who it says."""
        self._log(stream, word, "its own server does not know the key", is_fraud=True)
        if dialogue_of(stream).proven or stream.is_authorized(stream.pair):
            refusal = Refusal("forbidden", f"{word.pair.remote} does not know this key.")
            stream.send_element(word.error(refusal))
        else:
            stream.send_element(word.answer("invalid"))
            stream.close()

    def _refuse(self, stream: ServerStream, word: Word, refusal: Refusal) -> None:
        self._log(stream, word, f"{refusal.condition}: {refusal}")
        stream.send_element(word.error(refusal))
        dialogue = dialogue_of(stream)
        dialogue.failures += 1
        is_stranger = not dialogue.proven and not stream.is_authorized(stream.pair)
        if is_stranger and dialogue.failures >= MOST_FAILURES:
            stream.close(StreamError("policy-violation", "Too many domains were not proven."))

    def _log(
        self, stream: ServerStream, word: Word, reason: str, *, is_fraud: bool = False
    ) -> None:
        log = self._host.log.warning if is_fraud else self._host.log.info
        local, remote = word.pair
        log("dialback failed", local=local, remote=remote, address=stream.address, reason=reason)


def _no_answer() -> Refusal:
    return Refusal("remote-server-timeout", "The domain's own server did not answer.")


def _network(address: str) -> str:
    """What counts as one place: an IPv4 address, or an IPv6 network."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.packed[:8].hex()
