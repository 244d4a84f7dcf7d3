"""When compression is offered and agreed on (XEP-0138), on the kernel in memory."""

import pytest
from compressed_clients import COMPRESS, NS_COMPRESS, NS_FEATURE, PASSWORD, Zlib, request

import stonechat_compression
from stonechat.namespaces import NS_BIND
from stonechat.testing import TestClient

MESSAGE = "<message to='romeo@capulet.example'><body>O Romeo, Romeo!</body></message>"


def methods(stream):
    """The methods that the features offer; None where there is no such feature."""
    feature = stream.features.find("compression", NS_FEATURE)
    if feature is None:
        return None
    assert {element.qualified_name for element in feature.elements} == {f"{NS_FEATURE} method"}
    return [element.text for element in feature.elements]


def refusal(stream, element):
    """The condition of the failure that a request is answered with; the stream goes on."""
    stream.send(element)
    failure = stream.receive_element()
    assert failure.qualified_name == f"{NS_COMPRESS} failure"
    (condition,) = failure.elements
    assert condition.namespace == NS_COMPRESS
    assert not stream.is_closed
    return condition.name


# The offer


@pytest.mark.parametrize("tls", [True, False])
def test_it_is_offered_after_the_login_with_the_binding(host, log_in, tls):
    assert methods(host.open_stream(tls=tls)) is None
    stream = log_in(tls=tls)
    assert methods(stream) == ["zlib"]
    assert stream.features.find("bind", NS_BIND) is not None


def test_it_is_offered_before_the_binding_only_and_once(compress):
    stream = compress()
    stream.open()
    assert methods(stream) is None
    assert stream.features.find("bind", NS_BIND) is not None


@pytest.mark.parametrize(
    ("streams", "tls", "is_offered"),
    [
        ("encrypted", True, True),
        ("encrypted", False, False),
        ("clear", True, False),
        ("clear", False, True),
    ],
)
def test_operators_say_on_which_streams_it_is_offered(host, log_in, streams, tls, is_offered):
    host.disable("compression")
    host.enable("compression", {"streams": streams})
    stream = log_in(tls=tls)
    assert methods(stream) == (["zlib"] if is_offered else None)
    if not is_offered:
        assert refusal(stream, COMPRESS) == "setup-failed"


def test_so_many_streams_are_compressed_and_no_more(host, log_in, compress):
    host.disable("compression")
    host.enable("compression", {"max_streams": 2})
    late = log_in()
    assert methods(late) == ["zlib"]
    first, _ = compress(), compress()
    assert refusal(late, COMPRESS) == "setup-failed"
    assert methods(log_in()) is None
    first.drop()
    assert methods(log_in()) == ["zlib"]
    late.send(COMPRESS)
    assert late.receive_element().name == "compressed"


def test_no_stream_has_it_without_the_plugin(server):
    host = server.host("montague.example")
    host.create_account("romeo", PASSWORD)
    stream = host.open_stream(tls=True)
    stream.authenticate("romeo", PASSWORD)
    stream.open()
    assert methods(stream) is None


# The request


def test_a_stream_that_is_compressed_is_one_like_any_other(server, host, compress):
    romeo = host.connect("romeo@capulet.example/orchard")
    romeo.available()
    stream = compress(client := Zlib())
    stream.open()
    juliet = TestClient(stream, "balcony")
    juliet.available()
    for number in range(20):
        juliet.send(MESSAGE)
        assert romeo.receive_message().from_ == juliet.jid
        romeo.message(juliet.jid, f"{number}: my dear?")
        assert juliet.receive_message().body == f"{number}: my dear?"
    assert client.came < client.decoded / 3
    juliet.disconnect()
    assert juliet.closed_with() == ""
    assert stream.has_ended


def test_white_space_around_a_method_is_nothing(log_in):
    stream = log_in()
    stream.send(request("\n  zlib\n"))
    assert stream.receive_element().name == "compressed"


@pytest.mark.parametrize("method", ["lzw", "ZLIB", "", "zlib zlib"])
def test_a_method_that_is_not_there_is_refused_and_the_client_may_try_again(log_in, method):
    stream = log_in()
    assert refusal(stream, request(method)) == "unsupported-method"
    assert refusal(stream, request(method)) == "unsupported-method"
    stream.send(COMPRESS)
    assert stream.receive_element().name == "compressed"


@pytest.mark.parametrize("names", [(), ("zlib", "lzw"), ("zlib", "zlib")])
def test_who_names_no_method_or_several_is_refused(log_in, names):
    assert refusal(log_in(), request(*names)) == "setup-failed"


def test_who_has_not_logged_in_is_refused(host):
    stream = host.open_stream(tls=True)
    assert refusal(stream, COMPRESS) == "setup-failed"
    assert stream.authenticate("juliet", PASSWORD).name == "success"


def test_before_a_required_encryption_there_is_no_answer(host):
    stream = host.open_stream(starttls="required")
    stream.send(COMPRESS)
    assert stream.closed_with() == "unsupported-stanza-type"


def test_who_has_bound_is_refused_and_the_session_goes_on(log_in):
    juliet = TestClient(log_in(), "balcony")
    assert refusal(juliet.stream, COMPRESS) == "setup-failed"
    assert juliet.request("get", "<ping xmlns='urn:xmpp:ping'/>").type == "error"


def test_a_stream_is_compressed_once(compress):
    stream = compress()
    stream.open()
    assert refusal(stream, COMPRESS) == "setup-failed"


def test_where_there_is_no_memory_for_it_the_stream_stays_as_it_is(server, log_in, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(stonechat_compression, "Deflate", fail)
    server.expect_errors()
    stream = log_in()
    assert refusal(stream, COMPRESS) == "setup-failed"
    assert TestClient(stream, "balcony").jid.resource == "balcony"


def test_octets_behind_the_request_end_the_stream(log_in):
    # Robustness rule 5: they would be taken for the new stream's.
    stream = log_in()
    stream.send(f"{COMPRESS}<presence/>")
    assert stream.closed_with() == "policy-violation"


def test_what_is_in_the_clear_after_the_answer_ends_the_stream(compress):
    stream = compress()
    stream.send_octets(b"<?xml version='1.0'?><stream:stream ")
    assert stream.closed_with() == "undefined-condition"
    assert stream.error.find("failure", NS_COMPRESS).find("processing-failed") is not None


# With what else there is


def test_a_session_goes_on_over_a_compressed_stream(server):
    host = server.host("capulet.example", compression={}, sm={}, offline={})
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    juliet.available()
    juliet.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
    token = juliet.receive_where(lambda it: it.name == "enabled", "enabled").get("id")
    juliet.drop()
    romeo = host.connect("romeo@capulet.example/orchard")
    romeo.message(juliet.bare, "It is my lady")

    stream = host.open_stream(tls=True)
    stream.authenticate("juliet", PASSWORD)
    stream.open()
    stream.send(COMPRESS)
    assert stream.receive_element().name == "compressed"
    stream.transform(Zlib())
    stream.open()
    stream.send(f"<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>")
    assert stream.receive_element().name == "resumed"
    messages = [item for item in stream.received() if item.name == "message"]
    assert [message.body for message in messages] == ["It is my lady"]

    # And the other way: what is lost while it is compressed comes again in the clear.
    stream.connection.stop_reading()
    romeo.message(juliet.bare, "O it is my love")
    stream.drop()
    stream = host.open_stream(tls=True)
    stream.authenticate("juliet", PASSWORD)
    stream.open()
    stream.send(f"<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='1'/>")
    assert stream.receive_element().name == "resumed"
    messages = [item for item in stream.received() if item.name == "message"]
    assert [message.body for message in messages] == ["O it is my love"]


def test_copies_go_to_compressed_streams_and_from_them(server):
    host = server.host("capulet.example", compression={}, carbons={})
    enable = "<enable xmlns='urn:xmpp:carbons:2'/>"
    clients = []
    for resource in ("balcony", "garden"):
        host.connect("juliet@capulet.example/x", PASSWORD).disconnect()
        stream = host.open_stream(tls=True)
        stream.authenticate("juliet", PASSWORD)
        stream.open()
        stream.send(COMPRESS)
        assert stream.receive_element().name == "compressed"
        stream.transform(Zlib())
        stream.open()
        client = TestClient(stream, resource)
        client.available()
        client.set(enable)
        clients.append(client)
    balcony, garden = clients
    balcony.received()
    garden.received()
    balcony.message("romeo@capulet.example", "Art thou gone so?")
    copy = garden.receive_message()
    assert "Art thou gone so?" in str(copy.element)


def test_with_sasl2_it_comes_after_the_login_too(server):
    host = server.host("capulet.example", compression={}, sasl2={})
    host.create_account("juliet", PASSWORD)
    stream = host.open_stream(tls=True)
    assert stream.log_in_inline("juliet", PASSWORD).name == "success"
    assert methods(stream) == ["zlib"]
    stream.send(COMPRESS)
    assert stream.receive_element().name == "compressed"
    stream.transform(Zlib())
    stream.open()
    assert TestClient(stream, "balcony").jid.resource == "balcony"


def test_streams_outlive_the_plugin_and_what_it_is_told(host, compress, log_in):
    stream = compress()
    stream.open()
    juliet = TestClient(stream, "balcony")
    host.disable("compression")
    juliet.available()
    host.enable("compression", {"window_bits": 9, "memory_level": 1, "level": 1})
    juliet.message(juliet.jid, "Still here?")
    assert juliet.receive_message().body == "Still here?"
    assert methods(log_in()) == ["zlib"]


@pytest.mark.parametrize(
    "options",
    [
        {"streams": "some"},
        {"level": 0},
        {"level": 10},
        {"window_bits": 8},
        {"window_bits": 16},
        {"memory_level": 0},
        {"memory_level": 10},
        {"max_ratio": 0},
        {"max_ratio": 1001},
        {"max_excess": "1 KiB"},
        {"max_streams": 0},
        {"windowbits": 9},
    ],
)
def test_what_cannot_be_is_no_option(options):
    with pytest.raises(ValueError, match="validation error"):
        stonechat_compression.Options(**options)
