"""Stream headers, features and errors: what goes out, and which headers we take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.errors import StreamError
from stonechat.protocol.splitter import Splitter, StreamEnd, StreamHeader
from stonechat.protocol.stream import (
    STREAM_END,
    STREAM_NAME,
    check_header,
    features,
    stream_error,
    stream_header,
)
from stonechat.stanza import Message
from stonechat.xml import XML_LANG, Element

NS_STREAM = "http://etherx.jabber.org/streams"
NS_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams"

texts = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]))


def read(octets):
    """What a peer makes of it."""
    return Splitter(100_000).feed(octets)


def test_a_header_as_rfc_6120_shows_it():
    assert stream_header(from_="capulet.example", id="1", lang="en", to="juliet@x.example") == (
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:client'"
        b" xmlns:stream='http://etherx.jabber.org/streams' from='capulet.example' id='1'"
        b" version='1.0' xml:lang='en' to='juliet@x.example'>"
    )


def test_a_header_need_not_say_to_whom():
    (header,) = read(stream_header(from_="capulet.example", id="1", lang="en"))
    assert "to" not in header.attributes


@given(texts, texts, texts, texts)
def test_whatever_stands_in_a_header_is_escaped(from_, id_, lang, to):
    (header,) = read(stream_header(from_=from_, id=id_, lang=lang, to=to))
    assert header.name == STREAM_NAME
    assert header.attributes == {
        "from": from_,
        "id": id_,
        "version": "1.0",
        XML_LANG: lang,
        **({"to": to} if to else {}),
    }


@pytest.mark.parametrize("content", ["jabber:client", "jabber:server"])
def test_a_header_declares_what_the_stanzas_are_in(content):
    octets = stream_header(from_="capulet.example", id="1", lang="en", content_namespace=content)
    (header,) = read(octets)
    assert header.prefixes == {"": content, "stream": NS_STREAM}
    check_header(header, content)


def test_features_keep_their_own_namespaces():
    header = stream_header(from_="capulet.example", id="1", lang="en")
    offered = [Element("urn:ietf:params:xml:ns:xmpp-tls", "starttls"), Element("urn:x", "x")]
    _, found = read(header + features(offered))
    assert found == Element(NS_STREAM, "features", None, *offered)
    assert features([]) == b"<stream:features/>"
    assert features(iter(offered)).count(b"xmlns") == 2


def test_an_error_ends_the_stream():
    header = stream_header(from_="capulet.example", id="1", lang="en")
    _, error, end = read(header + stream_error(StreamError("conflict")))
    assert error == Element(NS_STREAM, "error", None, Element(NS_ERRORS, "conflict"))
    assert end == StreamEnd()


@given(texts, texts)
def test_an_error_tells_what_it_can(text, payload):
    application = Element("urn:x", "too-many", {"a": text})
    error = StreamError("see-other-host", text, payload=payload, application=application)
    header = stream_header(from_="capulet.example", id="1", lang="en")
    found = read(header + stream_error(error))[1]
    assert found.find_text("see-other-host", NS_ERRORS) == payload
    assert found.find_text("text", NS_ERRORS) == text
    if text:
        assert found.find("text", NS_ERRORS).lang == "en"
    assert found.find("too-many", "urn:x") == application


def test_the_end_is_what_closes_our_header():
    header = stream_header(from_="capulet.example", id="1", lang="en")
    assert read(header + Message().to_bytes() + STREAM_END)[-1] == StreamEnd()


def header(name=STREAM_NAME, prefixes=None, **attributes):
    return StreamHeader(
        name,
        {"version": "1.0", **attributes},
        prefixes or {"": "jabber:client", "stream": NS_STREAM},
    )


@pytest.mark.parametrize("version", ["1.0", "1.1", "01.0", "2.7", "1.10", "99999.0"])
def test_a_later_version_is_taken(version):
    check_header(header(version=version))


@pytest.mark.parametrize(
    "version", ["", "0.9", "0.99", "1", "1.", ".1", "1.0.0", "-1.0", "1.0 ", "one", "١.٠", "²"]
)
def test_a_version_before_1_0_or_none_is_not(version):
    with pytest.raises(StreamError) as caught:
        check_header(header(version=version))
    assert caught.value.condition == "unsupported-version"


def test_a_header_without_a_version_is_of_0_9():
    old = header()
    del old.attributes["version"]
    with pytest.raises(StreamError) as caught:
        check_header(old)
    assert caught.value.condition == "unsupported-version"


@pytest.mark.parametrize(
    ("bad", "condition"),
    [
        (header("stream"), "invalid-namespace"),
        (header("jabber:client stream"), "invalid-namespace"),
        (header(f"{NS_STREAM} features"), "bad-format"),
        (header("jabber:client presence"), "bad-format"),
        (header("html"), "bad-format"),
        (header(prefixes={"stream": NS_STREAM}), "invalid-namespace"),
        (header(prefixes={"": "jabber:server", "stream": NS_STREAM}), "invalid-namespace"),
    ],
)
def test_what_opens_no_stream_of_a_client_is_refused_by_name(bad, condition):
    with pytest.raises(StreamError) as caught:
        check_header(bad)
    assert caught.value.condition == condition


def test_the_content_may_have_a_prefix():
    # RFC 6120, 4.8.5: some clients write <client:message/>.
    check_header(header(prefixes={"client": "jabber:client", "": NS_STREAM}))
