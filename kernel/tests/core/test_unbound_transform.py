"""How a plugin puts a codec between a stream and its octets."""

import pytest
from unbound_door import BIND, DOOR, KNOCK, MESSAGE, host_with_door, knock

from stonechat.errors import StreamError
from stonechat.namespaces import NS_BIND
from stonechat.net.coded_socket import PIECE
from stonechat.testing import TestClient
from stonechat.testing.kit import PASSWORD
from stonechat.xml import Element

AGREED = Element(DOOR, "agreed")


class Rot:
    """Adds one to each octet on its way out, and takes it away on the way in."""

    has_more = False

    def encode(self, octets):
        return bytes((octet + 1) % 256 for octet in octets)

    def decode(self, octets, limit):
        return bytes((octet - 1) % 256 for octet in octets)


class Torn(Rot):
    """Does as it is told, and not as it should."""

    def __init__(self, decode):
        self.decode = decode


@pytest.fixture
def host(server):
    return host_with_door(server)


def agree(stream, door, codec=None):
    """Knock, and have the stream go through a codec from then on, which the client has, too."""
    knock(stream, door, lambda it: it.transform(codec or Rot(), AGREED))
    assert stream.receive_element().name == "agreed"
    stream.transform(Rot())


@pytest.fixture
def transformed(logged_in, door):
    agree(logged_in, door)
    return logged_in


def refusal(stream, door):
    def attempt(it):
        with pytest.raises(ValueError, match="transform"):
            it.transform(Rot(), AGREED)
        return it.is_transformed

    return knock(stream, door, attempt)


def test_the_stream_begins_anew_through_the_codec_and_can_be_bound(host, transformed):
    assert transformed.open() is not None
    assert transformed.features.find("bind", NS_BIND) is not None
    juliet = TestClient(transformed, "balcony")
    romeo = host.connect("romeo@capulet.example/orchard", PASSWORD)
    romeo.available()
    juliet.send(MESSAGE)
    assert romeo.receive_message().from_ == juliet.jid
    romeo.message(juliet.jid, "But soft!")
    assert juliet.receive_message().body == "But soft!"
    juliet.disconnect()
    assert juliet.closed_with() == ""


def test_account_and_data_stay_and_the_stream_knows_that_it_is_transformed(logged_in, door):
    knock(logged_in, door, lambda it: it.data.update(door="open"))
    account = door.streams[-1].account
    agree(logged_in, door)
    logged_in.open()
    seen = knock(logged_in, door, lambda it: (it.account, it.data["door"], it.is_transformed))
    assert seen == (account, "open", True)


def test_a_session_is_resumed_through_a_codec_too(host, transformed, door):
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    session = host.kernel.session(juliet.jid)
    transformed.open()
    knock(transformed, door, lambda it: it.resume(session))
    romeo = host.connect("romeo@capulet.example/orchard", PASSWORD)
    romeo.message(juliet.jid, "But soft!")
    assert "But soft!" in str(transformed.receive().element)


def test_a_stream_is_transformed_after_its_login_only(stream, door):
    assert refusal(stream, door) is False


def test_a_stream_that_is_bound_is_not_transformed(logged_in, door):
    def bind_and_transform(it):
        it.bind("balcony")
        with pytest.raises(ValueError, match="transform"):
            it.transform(Rot(), AGREED)
        return True

    assert knock(logged_in, door, bind_and_transform) is True


def test_a_stream_is_transformed_once(transformed, door):
    transformed.open()
    assert refusal(transformed, door) is True


def test_nobody_transforms_a_stream_but_who_handles_its_element(logged_in, door):
    knock(logged_in, door, door.nothing)
    with pytest.raises(ValueError, match="element"):
        door.streams[-1].transform(Rot(), AGREED)


@pytest.mark.parametrize("behind", [BIND, "<", "</stream:stream>", "<?xml version='1.0'?>", "x"])
def test_octets_behind_the_request_end_the_stream_and_nothing_is_agreed(logged_in, door, behind):
    door.knocked = lambda it: it.transform(Rot(), AGREED)
    logged_in.send(KNOCK + behind)
    assert logged_in.closed_with() == "policy-violation"
    assert [item.name for item in logged_in.received()] == ["error"]
    assert not door.streams[-1].is_transformed


def test_white_space_behind_the_request_is_nothing(logged_in, door):
    door.knocked = lambda it: it.transform(Rot(), AGREED)
    logged_in.send(KNOCK + "\n ")
    assert logged_in.receive_element().name == "agreed"
    logged_in.transform(Rot())
    assert logged_in.open() is not None


@pytest.mark.parametrize("octets", [b"<message/>", b"\x00", b"<stream:features/>", b"</a>"])
def test_an_error_before_the_new_header_comes_behind_one_of_ours(transformed, octets):
    transformed.header = None
    transformed.send(octets)
    assert transformed.closed_with() != ""
    assert transformed.header is not None


def test_what_cannot_be_decoded_ends_the_stream_with_what_the_codec_says(logged_in, door):
    def decode(octets, limit):
        raise StreamError("undefined-condition", application=Element(DOOR, "torn"))

    agree(logged_in, door, Torn(decode))
    logged_in.open()
    assert logged_in.closed_with() == "undefined-condition"
    assert logged_in.error.find("torn", DOOR) is not None


def test_what_a_session_sends_and_cannot_be_decoded_ends_it(server, host, logged_in, door):
    class Tearing(Rot):
        def decode(self, octets, limit):
            if b"torn" in (plain := super().decode(octets, limit)):
                raise StreamError("undefined-condition")
            return plain

    agree(logged_in, door, Tearing())
    logged_in.open()
    juliet = TestClient(logged_in, "balcony")
    juliet.send("<presence><status>torn</status></presence>")
    assert juliet.closed_with() == "undefined-condition"
    server.settle()
    assert host.kernel.session(juliet.jid) is None


def fault(octets, limit):
    return {}["nothing"]


def too_much(octets, limit):
    return b" " * (PIECE + 1)


@pytest.mark.parametrize("decode", [fault, too_much])
def test_a_codec_that_fails_ends_the_stream_and_its_plugin_is_named(
    server, logged_in, door, decode
):
    server.expect_errors()
    agree(logged_in, door, Torn(decode))
    logged_in.open()
    assert logged_in.closed_with() == "internal-server-error"
    (record,) = server.logged("plugin failed")
    assert (record["plugin"], record["where"]) == ("door", "codec")


def test_a_codec_that_says_there_is_more_and_gives_nothing_is_not_asked_for_ever(
    server, logged_in, door
):
    class Endless(Rot):
        has_more = True

    codec = Endless()
    codec.decode = lambda octets, limit: b""
    server.expect_errors()
    agree(logged_in, door, codec)
    logged_in.open()
    assert logged_in.closed_with() == "internal-server-error"


def test_a_codec_that_cannot_encode_loses_the_connection(server, logged_in, door):
    class Dumb(Rot):
        def encode(self, octets):
            raise LookupError("a bug")

    server.expect_errors()
    agree(logged_in, door, Dumb())
    logged_in.open()
    assert logged_in.is_closed
    assert [record["where"] for record in server.logged("plugin failed")] == ["codec"]


def test_a_codec_outlives_its_plugin(host, transformed):
    transformed.open()
    host.disable("door")
    juliet = TestClient(transformed, "balcony")
    juliet.disconnect()
    assert juliet.closed_with() == ""
