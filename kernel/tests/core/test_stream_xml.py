"""What a client may send as XML, and how much of it (RFC 6120, sections 4.7, 4.9 and 11)."""

import pytest

from stonechat.namespaces import NS_BIND, NS_CLIENT, NS_SASL, NS_STREAM
from stonechat.testing.kit import PASSWORD

HEADER = (
    f"<stream:stream xmlns='{NS_CLIENT}' xmlns:stream='{NS_STREAM}'"
    " to='capulet.example' version='1.0'>"
)
BIND = f"<iq type='set' id='b1'><bind xmlns='{NS_BIND}'/></iq>"


# The header (4.7)


def test_the_server_answers_with_a_header_of_its_own(host):
    header = host.open_stream().header
    assert header.attributes["from"] == "capulet.example"
    assert header.attributes["version"] == "1.0"
    assert header.prefixes == {"": NS_CLIENT, "stream": NS_STREAM}


def test_no_two_streams_have_the_same_id(host):
    ids = {host.open_stream().header.attributes["id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(len(id_) >= 22 for id_ in ids)  # 128 bits at least


def test_a_stream_gets_another_id_when_it_begins_anew(stream):
    before = stream.header.attributes["id"]
    assert stream.authenticate("juliet", PASSWORD).name == "success"
    stream.open()
    assert stream.header.attributes["id"] != before


def test_the_clients_address_is_repeated_only_where_nobody_else_can_read_it(host):
    for tls, to in ((False, None), (True, "juliet@capulet.example")):
        stream = host.open_stream(tls=tls, header=False)
        stream.open(**{"from": "juliet@capulet.example"})
        assert stream.header.attributes.get("to") == to


def test_a_header_in_pieces_is_answered_when_it_is_whole(host):
    stream = host.open_stream(tls=True, header=False)
    for letter in HEADER:
        assert stream.header is None
        stream.send(letter)
    assert stream.header is not None
    assert stream.receive_element().name == "features"


def test_the_content_namespace_may_have_a_prefix(host):
    stream = host.open_stream(tls=True, header=False)
    stream.send(
        f"<stream xmlns='{NS_STREAM}' xmlns:c='{NS_CLIENT}' to='capulet.example' version='1.0'>"
    )
    assert stream.receive_element().name == "features"


def test_the_domain_is_compared_as_a_domain(host):
    stream = host.open_stream(header=False)
    stream.open(to="CAPULET.Example.")
    assert stream.header.attributes["from"] == "capulet.example"
    assert stream.features is not None


def test_a_client_that_names_no_domain_means_the_first_one(server, host):
    server.host("montague.example")
    stream = host.open_stream(header=False)
    stream.open(to="")
    assert stream.header.attributes["from"] == "capulet.example"
    assert stream.features is not None


@pytest.mark.parametrize("to", ["verona.example", "x.capulet.example", "@@", "a b", "-"])
def test_a_domain_that_is_not_served_is_refused_behind_a_header(host, to):
    stream = host.open_stream(header=False)
    stream.open(to=to)
    assert stream.header.attributes["from"] == "capulet.example"
    assert stream.closed_with() == "host-unknown"
    assert stream.has_ended


@pytest.mark.parametrize(
    ("version", "is_welcome"),
    [
        ("1.0", True),
        ("1.1", True),
        ("2.0", True),
        ("01.0", True),
        ("0.9", False),
        ("", False),
        ("1", False),
        ("one.two", False),
        ("-1.0", False),
        ("١.٠", False),
    ],
)
def test_a_client_has_to_speak_version_1_0_or_a_later_one(host, version, is_welcome):
    stream = host.open_stream(header=False)
    stream.open(version=version)
    if is_welcome:
        assert stream.header.attributes["version"] == "1.0"
        assert stream.features is not None
    else:
        assert stream.closed_with() == "unsupported-version"


@pytest.mark.parametrize(
    ("header", "condition"),
    [
        (HEADER.replace("stream:stream", "stream:flow"), "bad-format"),
        ("<message/>", "bad-format"),
        (f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>AA==</auth>", "bad-format"),
        (HEADER.replace(NS_STREAM, "urn:x"), "invalid-namespace"),
        (HEADER.replace(NS_CLIENT, "jabber:server"), "invalid-namespace"),
        (HEADER.replace(NS_CLIENT, ""), "invalid-namespace"),
        ("<stream to='capulet.example' version='1.0'>", "invalid-namespace"),
        ("<stream:stream to='capulet.example' version='1.0'>", "not-well-formed"),
        ("GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        ("\x16\x03\x01\x02\x00\x01", "not-well-formed"),
        (HEADER.encode("utf-16"), "unsupported-encoding"),
        (HEADER.replace("to=", "to="[:-1] + " "), "not-well-formed"),
        (f"<?xml version='1.0' encoding='UTF-16'?>{HEADER}", "unsupported-encoding"),
        (f"<!-- hist -->{HEADER}", "restricted-xml"),
        (f"<!DOCTYPE x [<!ENTITY a 'b'>]>{HEADER}", "restricted-xml"),
        (f"<?xml-stylesheet href='x'?>{HEADER}", "restricted-xml"),
    ],
)
def test_what_is_no_header_is_answered_with_one_and_an_error(host, header, condition):
    stream = host.open_stream(header=False)
    stream.send(header)
    assert stream.closed_with() == condition
    assert stream.header.attributes["from"] == "capulet.example"
    assert stream.has_ended


def test_a_stream_that_is_empty_ends_properly(host):
    stream = host.open_stream(header=False)
    stream.send(HEADER[:-1] + "/>")
    assert stream.closed_with() == ""
    assert stream.has_ended


@pytest.mark.parametrize("fixture", ["stream", "logged_in"])
def test_a_client_may_end_its_stream_at_any_time(request, fixture):
    stream = request.getfixturevalue(fixture)
    stream.close()
    assert stream.closed_with() == ""
    assert stream.has_ended


# XML (4.9.3, 11)

BAD_XML = [
    ("<!-- hist -->", "restricted-xml"),
    ("<?php?>", "restricted-xml"),
    ("<iq type='get' id='q1'><x xmlns='u'>&amp;&lt;&#65;&nbsp;</x></iq>", "restricted-xml"),
    ("<iq type='get' id='q1'><x xmlns='u'><!-- hist --></x></iq>", "restricted-xml"),
    ("<iq type='get' id='q1'></message>", "not-well-formed"),
    ("<iq type=get id='q1'/>", "not-well-formed"),
    ("<iq type='get' type='get' id='q1'/>", "not-well-formed"),
    ("<iq type='get' id='q1'><x>\x01</x></iq>", "not-well-formed"),
    (b"<iq type='get' id='q1'><x>\xff</x></iq>", "unsupported-encoding"),
    ("<iq type='get' id='q1'><p:x/></iq>", "not-well-formed"),
    ("Hist!<iq/>", "bad-format"),
    (HEADER.replace("stream:stream", "x:stream"), "not-well-formed"),
]


@pytest.mark.parametrize(("xml", "condition"), BAD_XML)
@pytest.mark.parametrize("fixture", ["stream", "logged_in"])
def test_bad_xml_ends_the_stream(request, fixture, xml, condition):
    stream = request.getfixturevalue(fixture)
    stream.send(xml)
    assert stream.closed_with() == condition


@pytest.mark.parametrize(("xml", "condition"), BAD_XML)
def test_bad_xml_ends_a_session_after_what_came_before_it(host, xml, condition):
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    before = f"<message to='{juliet.jid}'/>".encode()
    juliet.send(before + (xml.encode() if isinstance(xml, str) else xml))
    assert juliet.closed_with() == condition
    assert juliet.receive_message().to == juliet.jid
    assert host.kernel.sessions("juliet") == ()


def test_white_space_between_elements_means_nothing(logged_in):
    logged_in.send(" \r\n\t")
    logged_in.send(BIND + " \n")
    assert logged_in.receive().type == "result"


# Sizes


@pytest.mark.parametrize(
    "begin",
    [
        "<stream:stream xmlns='" + "x" * 10_000,
        " " * 10_001,
        "<?xml version='1.0'?>" + "<" + "x" * 10_000,
    ],
)
def test_a_header_has_its_bound(host, begin):
    stream = host.open_stream(header=False)
    stream.send(begin)
    assert stream.closed_with() == "policy-violation"


@pytest.mark.parametrize("size", [10_000, 10_001])
def test_before_the_login_an_element_has_ten_thousand_octets(stream, size):
    element = f"<auth xmlns='{NS_SASL}' mechanism='NONE'>%s</auth>"
    stream.send(element % ("A" * (size - len(element) + 2)))
    if size == 10_000:
        assert stream.receive().find("invalid-mechanism") is not None
    else:
        assert stream.closed_with() == "policy-violation"


def test_an_element_that_is_too_large_is_refused_before_it_is_whole(stream):
    stream.send(f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>")
    for _ in range(10):
        stream.send("A" * 1000)
    assert stream.closed_with() == "policy-violation"


def test_before_the_login_an_element_holds_few_others(stream):
    stream.send("<iq type='get' id='q1'><x xmlns='urn:x'>" + "<y/>" * 100)
    assert stream.closed_with() == "policy-violation"


def test_after_the_login_stanzas_may_be_larger(server, host):
    server.configure(limits={"stanza_bytes": "64 KiB"})
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    juliet.send(f"<message to='{juliet.jid}'><body>{'a' * 60_000}</body></message>")
    assert len(juliet.receive_message().body) == 60_000
    juliet.send(f"<message to='{juliet.jid}'><body>{'a' * 66_000}</body></message>")
    assert juliet.closed_with() == "policy-violation"


def test_the_limit_of_a_bound_stream_holds_for_what_is_not_whole(server, host):
    server.configure(limits={"stanza_bytes": "64 KiB"})
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    juliet.send(f"<message to='{juliet.jid}'><body>")
    for _ in range(70):
        juliet.send("a" * 1000)
    assert juliet.closed_with() == "policy-violation"
