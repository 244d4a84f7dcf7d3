"""Elements of a stream that has no session yet, and the plugins that handle them."""

import pytest
from unbound_door import DOOR, JULIET, KNOCK, host_with_door, knock, plain

from stonechat.errors import StreamError
from stonechat.namespaces import NS_SASL
from stonechat.testing.kit import PASSWORD
from stonechat.xml import Element


@pytest.fixture
def host(server):
    return host_with_door(server)


def test_an_element_that_a_plugin_knows_is_handled_and_answered(stream, door):
    knock(stream, door, lambda it: it.send(Element(DOOR, "who")))
    assert stream.receive_element().qualified_name == f"{DOOR} who"
    (face,) = door.streams
    assert (face.is_authenticated, face.is_bound, face.account) == (False, False, None)
    assert face.is_secure
    assert "PLAIN" in face.mechanisms


def test_before_a_required_encryption_nothing_is_handled(host, door):
    stream = host.open_stream(starttls="required")
    stream.send(KNOCK)
    assert stream.closed_with() == "unsupported-stanza-type"
    assert door.streams == []


def test_elements_are_handled_after_the_login_too(stream, door):
    assert stream.authenticate("juliet", PASSWORD).name == "success"
    stream.open()
    assert knock(stream, door, lambda it: (it.account, it.mechanisms)) == (JULIET, ())


def test_a_handler_may_end_the_stream(stream, door):
    def refuse(it):
        raise StreamError("policy-violation", "Nobody is at home.")

    knock(stream, door, refuse)
    assert stream.closed_with() == "policy-violation"


def test_a_handler_that_fails_ends_the_stream_and_is_named(server, stream, door):
    server.expect_errors()
    knock(stream, door, lambda it: {}["nothing"])
    assert stream.closed_with() == "internal-server-error"
    (record,) = server.logged("plugin failed")
    assert (record["plugin"], record["where"]) == ("door", "stonechat_unbound_stream_elements")


@pytest.mark.parametrize("error", [None, StreamError("reset")])
def test_a_plugin_may_close_the_stream(stream, door, error):
    knock(stream, door, lambda it: it.close(error))
    assert stream.closed_with() == ("reset" if error else "")
    assert stream.has_ended


def test_a_plugin_keeps_its_data_with_the_stream(stream, door):
    knock(stream, door, lambda it: it.data.update(door="closed"))
    assert knock(stream, door, lambda it: it.data["door"]) == "closed"


def test_nothing_from_before_tls_is_there_after_it(host, door):
    stream = host.open_stream()
    knock(stream, door, lambda it: it.data.update(door="closed"))
    stream.start_tls()
    assert knock(stream, door, lambda it: dict(it.data)) == {}


@pytest.mark.parametrize(
    ("written", "claimed"),
    [
        ("juliet@capulet.example", JULIET),
        ("Juliet@Capulet.example/balcony", JULIET),
        ("capulet.example", None),
        ("@", None),
        ("", None),
    ],
)
def test_whom_the_header_is_from_is_known(host, door, written, claimed):
    stream = host.open_stream(tls=True, header=False)
    stream.open(**{"from": written})
    assert knock(stream, door, lambda it: it.claimed) == claimed


def test_while_a_plugin_claims_the_stream_nothing_else_is_taken(host, door):
    for other in (
        f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{plain()}</auth>",
        "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>",
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        "<knock xmlns='urn:example:window'/>",
    ):
        stream = host.open_stream(tls=True)
        knock(stream, door, lambda it: setattr(it, "exclusive", DOOR))
        knock(stream, door, door.nothing)
        assert not stream.is_closed
        stream.send(other)
        assert stream.is_closed
        assert stream.error_condition in ("policy-violation", "")
    stream = host.open_stream(tls=True)
    knock(stream, door, lambda it: setattr(it, "exclusive", DOOR))
    knock(stream, door, lambda it: setattr(it, "exclusive", ""))
    assert stream.authenticate("juliet", PASSWORD).name == "success"


def test_a_client_may_leave_while_a_plugin_claims_the_stream(stream, door):
    knock(stream, door, lambda it: setattr(it, "exclusive", DOOR))
    stream.close()
    assert stream.closed_with() == ""
