"""Plugins hear when a pair is authorized, and say how much may be sent."""

import pytest
from server_cast import CAPULET, MONTAGUE, NS_PROOF, PAIR, VERONA, Manager, Prover, message

from stonechat import hookimpl
from stonechat.errors import StreamError
from stonechat.federation import Pair
from stonechat.namespaces import NS_SASL
from stonechat.stanza import Element, Stanza

OTHER_PAIR = Pair(CAPULET, VERONA)
EXTERNAL = Element(
    NS_SASL, "mechanisms", None, Element(NS_SASL, "mechanism", None, "EXTERNAL")
).freeze()


class Witness(Prover):
    """Sends a word of its own as soon as a pair is authorized, or ends the stream."""

    closes = False

    @hookimpl
    def stonechat_server_stream_authorized(self, stream, pair):
        assert stream.is_authorized(pair)
        offered = [each.name for each in stream.features]
        self.events.append(("authorized", pair, stream.is_outgoing, offered))
        if self.closes:
            stream.close(StreamError("policy-violation"))
        stream.send_element(Element(NS_PROOF, "first"))


class Sender(Manager):
    """Has something to send as soon as it may."""

    def authorized(self, stream, pair):
        super().authorized(stream, pair)
        stream.send(message())


@pytest.fixture
def manager(server):
    server.host(CAPULET, plugin_classes={"prover": Witness})
    manager = Sender(server)
    manager.trusts = dict.fromkeys((MONTAGUE, VERONA), "any")
    return manager


@pytest.fixture
def witness(manager):
    return manager.kernel.hosts[CAPULET].plugins.running["prover"].instance


def authorized(witness):
    return [event[1:] for event in witness.events if event[0] == "authorized"]


def names(peer):
    return [item.name if isinstance(item, Element) else "message" for item in peer.received()]


def admitted(manager):
    """An outgoing stream, authorized by a certificate; what has come over it waits."""
    peer = manager.outgoing(tls=True)
    peer.answer(EXTERNAL)
    peer.accept()
    peer.answer(Element(NS_PROOF, "later"))
    return peer


def test_what_is_said_then_comes_before_all_that_waits(manager, witness):
    peer = admitted(manager)
    # By then the features have come that were sent behind the proof.
    assert authorized(witness) == [(PAIR, True, ["later"])]
    assert names(peer) == ["first", "message"]


def test_each_pair_is_told_once(manager, witness):
    peer = manager.outgoing(tls=True)
    peer.answer()
    for domain in (MONTAGUE, MONTAGUE, VERONA):
        peer.send(Element(NS_PROOF, "proof", {"from": domain}))
    assert [pair for pair, _, _ in authorized(witness)] == [PAIR, OTHER_PAIR]


def test_it_is_told_of_streams_that_others_open_behind_their_features(manager, witness):
    peer = manager.proven()
    assert peer.features is not None
    assert authorized(witness) == [(PAIR, False, [])]
    assert names(peer) == ["first"]
    # Not one for both directions: nothing is sent for the pair.
    assert ("authorized", PAIR) not in manager.told


def test_where_the_stream_is_ended_then_nothing_leaves(manager, witness):
    witness.closes = True
    peer = admitted(manager)
    assert peer.closed_with() == "policy-violation"
    assert ("authorized", PAIR) not in manager.told
    assert not [item for item in peer.received() if isinstance(item, Stanza)]


class Full:
    """A keeper that has room when it says so."""

    takes_stanzas = False

    def sent(self, stanza):
        pass

    def receiving(self, stanza):
        pass

    def received(self, stanza):
        pass

    def settle(self, settled):
        return True

    def ending(self, *, is_answered):
        return False

    def unacknowledged(self):
        return ()


def test_a_stream_takes_what_its_keeper_has_room_for(manager):
    peer = admitted(manager)
    stream = manager.stream
    assert stream.takes_stanzas
    keeper = stream.keeper = Full()
    assert not stream.takes_stanzas
    keeper.takes_stanzas = True
    stream.flow()
    assert manager.told[-1] == "flowing"
    assert stream.takes_stanzas
    peer.drop()
    stream.flow()
    assert manager.told[-1] != "flowing"
