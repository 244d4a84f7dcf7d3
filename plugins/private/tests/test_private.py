"""What clients keep for themselves (XEP-0049)."""

import pytest

from stonechat.errors import StanzaError, StorageError
from stonechat.jid import JID
from stonechat.namespaces import NS_DISCO_INFO
from stonechat.stanza import Element
from stonechat.storage import StorageFull

NS_PRIVATE = "jabber:iq:private"
JULIET = "juliet@capulet.example"
PREFS = "<exodus xmlns='exodus:prefs'><defaultnick>Juliet</defaultnick></exodus>"


def query(*elements):
    return f"<query xmlns='jabber:iq:private'>{''.join(elements)}</query>"


def texts(iq):
    """What the answer holds, one text for each element."""
    assert iq.payload.qualified_name == f"{NS_PRIVATE} query"
    return [str(element) for element in iq.payload.elements]


def refusal(call, *arguments):
    with pytest.raises(StanzaError) as caught:
        call(*arguments)
    return caught.value.condition, caught.value.type


@pytest.fixture
def host(server):
    return server.host("capulet.example", private={}, disco={})


@pytest.fixture
def juliet(host):
    return host.connect(f"{JULIET}/balcony")


# Kept and found


def test_what_is_stored_comes_back(juliet):
    assert juliet.set(query(PREFS)).payload is None
    (kept,) = juliet.get(query("<exodus xmlns='exodus:prefs'/>")).payload.elements
    assert kept.namespace == "exodus:prefs"
    assert kept.find_text("defaultnick") == "Juliet"


def test_another_device_of_the_account_finds_it(host, juliet):
    juliet.set(query(PREFS))
    chamber = host.connect(f"{JULIET}/chamber")
    (kept,) = chamber.get(query("<exodus xmlns='exodus:prefs'/>"), JULIET).payload.elements
    assert kept.find_text("defaultnick") == "Juliet"


def test_it_is_found_after_a_restart(server, host, juliet):
    juliet.set(query(PREFS))
    server.restart()
    juliet = host.connect(f"{JULIET}/balcony")
    (kept,) = juliet.get(query("<exodus xmlns='exodus:prefs'/>")).payload.elements
    assert kept.find_text("defaultnick") == "Juliet"


def test_all_of_the_xml_is_kept(juliet):
    element = (
        "<a xmlns='urn:example:a' xml:lang='it' at='1 &amp; 2'>one<b/> &lt;two&gt;"
        "<c xmlns='urn:example:c' xmlns:d='urn:example:d' d:x='y'>\U0001f339</c></a>"
    )
    juliet.set(query(element))
    (kept,) = juliet.get(query("<a xmlns='urn:example:a'/>")).payload.elements
    assert kept.lang == "it"
    assert kept.get("at") == "1 & 2"
    assert kept.text == "one <two>"
    inner = kept.find("c", "urn:example:c")
    assert (inner.get("urn:example:d x"), inner.text) == ("y", "\U0001f339")


def test_the_latest_is_what_counts(juliet):
    juliet.set(query("<a xmlns='urn:example:a'>1</a>"))
    juliet.set(query("<a xmlns='urn:example:a'>2</a>"))
    answer = juliet.get(query("<a xmlns='urn:example:a'/>"))
    assert texts(answer) == ["<a xmlns='urn:example:a'>2</a>"]


def test_elements_are_told_apart_by_name_and_by_namespace(juliet):
    juliet.set(query("<a xmlns='urn:example:1'>1</a>"))
    juliet.set(query("<b xmlns='urn:example:1'>2</b>"))
    juliet.set(query("<a xmlns='urn:example:2'>3</a>"))
    assert texts(juliet.get(query("<a xmlns='urn:example:1'/>"))) == [
        "<a xmlns='urn:example:1'>1</a>"
    ]
    assert texts(juliet.get(query("<b xmlns='urn:example:1'/>"))) == [
        "<b xmlns='urn:example:1'>2</b>"
    ]
    assert texts(juliet.get(query("<a xmlns='urn:example:2'/>"))) == [
        "<a xmlns='urn:example:2'>3</a>"
    ]


def test_names_are_told_apart_by_case(juliet):
    juliet.set(query("<a xmlns='urn:example'>1</a>", "<A xmlns='urn:example'>2</A>"))
    assert texts(juliet.get(query("<A xmlns='urn:example'/>"))) == ["<A xmlns='urn:example'>2</A>"]


def test_several_elements_may_come_at_once(juliet):
    juliet.set(
        query(
            "<a xmlns='urn:example'>1</a>",
            "<b xmlns='urn:example'>2</b>",
            "<c xmlns='urn:example:other'>3</c>",
        )
    )
    asked = query("<b xmlns='urn:example'/>", "<a xmlns='urn:example'/>")
    assert texts(juliet.get(asked)) == [
        "<b xmlns='urn:example'>2</b>",
        "<a xmlns='urn:example'>1</a>",
    ]
    assert texts(juliet.get(query("<c xmlns='urn:example:other'/>"))) == [
        "<c xmlns='urn:example:other'>3</c>"
    ]


def test_elements_of_one_name_that_come_together_stay_together(juliet):
    both = ["<a xmlns='urn:example'>1</a>", "<a xmlns='urn:example'>2</a>"]
    juliet.set(query(*both))
    assert texts(juliet.get(query("<a xmlns='urn:example'/>"))) == both
    asked_twice = query("<a xmlns='urn:example'/>", "<a xmlns='urn:example'/>")
    assert texts(juliet.get(asked_twice)) == both


def test_what_was_never_stored_is_an_empty_element(juliet):
    answer = juliet.get(query("<exodus xmlns='exodus:prefs'><defaultnick/></exodus>"))
    assert texts(answer) == ["<exodus xmlns='exodus:prefs'/>"]


def test_an_empty_element_deletes(server, juliet):
    juliet.set(query(PREFS))
    juliet.set(query("<exodus xmlns='exodus:prefs'> </exodus>"))
    assert texts(juliet.get(query("<exodus xmlns='exodus:prefs'/>"))) == [
        "<exodus xmlns='exodus:prefs'/>"
    ]
    assert rows(server) == 0


def test_accounts_and_hosts_are_told_apart(server, host, juliet):
    montague = server.host("montague.example", private={})
    juliet.set(query(PREFS))
    for other in (
        host.connect("romeo@capulet.example/orchard"),
        montague.connect("juliet@montague.example/tomb"),
    ):
        assert texts(other.get(query("<exodus xmlns='exodus:prefs'/>"))) == [
            "<exodus xmlns='exodus:prefs'/>"
        ]


def test_it_goes_with_the_account(server, host, juliet):
    romeo = host.connect("romeo@capulet.example/orchard")
    romeo.set(query(PREFS))
    juliet.set(query(PREFS))
    host.kernel.accounts.remove("juliet")
    server.settle()
    assert rows(server) == 1
    again = host.connect(f"{JULIET}/balcony")
    assert texts(again.get(query("<exodus xmlns='exodus:prefs'/>"))) == [
        "<exodus xmlns='exodus:prefs'/>"
    ]


def rows(server):
    from sqlalchemy import func, select

    from stonechat_private.store import _elements

    statement = select(func.count()).select_from(_elements)
    (host, *_) = server.kernel.hosts.values()
    return host.storage.read(lambda connection: connection.execute(statement).scalar_one())


def test_the_feature_is_advertised(host, juliet):
    for address in ("capulet.example", JULIET):
        info = juliet.get(Element(NS_DISCO_INFO, "query"), address).payload
        assert NS_PRIVATE in [feature.get("var") for feature in info.find_all("feature")]


# Refused


@pytest.mark.parametrize("type", ["get", "set"])
@pytest.mark.parametrize(
    "address",
    [JULIET, f"{JULIET}/balcony", "nobody@capulet.example", "nobody@capulet.example/attic"],
)
def test_nobody_gets_at_the_data_of_another(host, juliet, type, address):
    juliet.set(query(PREFS))
    romeo = host.connect("romeo@capulet.example/orchard")
    payload = query("<exodus xmlns='exodus:prefs'>Macbeth</exodus>")
    assert refusal(getattr(romeo, type), payload, address) == ("forbidden", "auth")
    assert "Juliet" in texts(juliet.get(query("<exodus xmlns='exodus:prefs'/>")))[0]


@pytest.mark.parametrize("type", ["get", "set"])
def test_nobody_learns_so_whether_there_is_an_account(host, juliet, type):
    romeo = host.connect("romeo@capulet.example/orchard")
    question = f"<question xmlns='{NS_PRIVATE}'/>"
    for address in (JULIET, "nobody@capulet.example"):
        refused = refusal(getattr(romeo, type), question, address)
        assert refused == ("service-unavailable", "cancel")


def test_an_answer_to_ones_own_client_passes(host, juliet):
    """Only requests are refused: an error to another's client is none."""
    romeo = host.connect("romeo@capulet.example/orchard")
    romeo.send(
        f"<iq type='error' id='1' to='{juliet.jid}'>{query()}"
        "<error type='cancel'><service-unavailable"
        " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    )
    assert juliet.receive_iq().type == "error"


def test_a_get_without_an_element_is_bad(juliet):
    assert refusal(juliet.get, query()) == ("bad-request", "modify")
    assert refusal(juliet.get, query("text")) == ("bad-request", "modify")


def test_a_get_of_several_namespaces_is_bad(juliet):
    asked = query("<a xmlns='urn:example:1'/>", "<a xmlns='urn:example:2'/>")
    assert refusal(juliet.get, asked) == ("bad-request", "modify")


def test_a_set_without_an_element_is_not_acceptable(juliet):
    assert refusal(juliet.set, query()) == ("not-acceptable", "modify")


@pytest.mark.parametrize("type", ["get", "set"])
@pytest.mark.parametrize("element", ["<a/>", "<a xmlns=''>1</a>"])
def test_an_element_without_a_namespace_of_its_own_is_not_acceptable(juliet, type, element):
    call = getattr(juliet, type)
    assert refusal(call, query(PREFS, element)) == ("not-acceptable", "modify")
    # What came with it was not stored either.
    answer = juliet.get(query("<exodus xmlns='exodus:prefs'/>"))
    assert texts(answer) == ["<exodus xmlns='exodus:prefs'/>"]


@pytest.mark.parametrize("type", ["get", "set"])
def test_another_payload_of_the_namespace_is_bad(juliet, type):
    payload = f"<question xmlns='jabber:iq:private'>{PREFS}</question>"
    assert refusal(getattr(juliet, type), payload) == ("bad-request", "modify")


RESERVED = [
    "<vCard xmlns='vcard-temp'><FN>Hamlet</FN></vCard>",
    "<x xmlns='jabber:x:example'>1</x>",
    "<x xmlns='http://jabber.org/protocol/example'>1</x>",
]


@pytest.mark.parametrize("element", RESERVED)
def test_reserved_namespaces_are_refused_where_the_operator_says_so(server, element):
    host = server.host("capulet.example", private={"refuse_reserved": True})
    juliet = host.connect(f"{JULIET}/balcony")
    for call in (juliet.get, juliet.set):
        assert refusal(call, query(element)) == ("not-acceptable", "modify")
    juliet.set(query("<x xmlns='vcard-temp:x:update'>1</x>"))


@pytest.mark.parametrize("element", RESERVED)
def test_reserved_namespaces_are_like_others_by_default(juliet, element):
    juliet.set(query(element))
    (kept,) = juliet.get(query(element)).payload.elements
    assert kept.text or kept.elements


# Limits


def test_an_element_has_a_largest_size(server):
    host = server.host("capulet.example", private={"max_element_size": 1000})
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.set(query(f"<a xmlns='urn:example'>{'x' * 900}</a>"))
    large = f"<a xmlns='urn:example'>{'y' * 1000}</a>"
    assert refusal(juliet.set, query(large)) == ("policy-violation", "modify")
    # Neither in pieces of one name.
    half = f"<a xmlns='urn:example'>{'y' * 600}</a>"
    assert refusal(juliet.set, query(half, half)) == ("policy-violation", "modify")
    assert "xxx" in texts(juliet.get(query("<a xmlns='urn:example'/>")))[0]


def test_an_account_has_a_largest_number_of_elements(server):
    host = server.host("capulet.example", private={"max_elements": 2})
    juliet = host.connect(f"{JULIET}/balcony")
    a, b, c = (f"<{name} xmlns='urn:example'>1</{name}>" for name in "abc")
    juliet.set(query(a, b))
    assert refusal(juliet.set, query(c)) == ("policy-violation", "modify")
    assert texts(juliet.get(query("<c xmlns='urn:example'/>"))) == ["<c xmlns='urn:example'/>"]
    # What is there may change, and give way.
    juliet.set(query("<b xmlns='urn:example'>2</b>"))
    juliet.set(query("<a xmlns='urn:example'/>", c))
    assert "1" in texts(juliet.get(query("<c xmlns='urn:example'/>")))[0]
    # The limit is each account's own.
    host.connect("romeo@capulet.example/orchard").set(query(a, b))


def test_too_many_at_once_are_all_refused(server):
    host = server.host("capulet.example", private={"max_elements": 2})
    juliet = host.connect(f"{JULIET}/balcony")
    three = [f"<{name} xmlns='urn:example'>1</{name}>" for name in "abc"]
    assert refusal(juliet.set, query(*three)) == ("policy-violation", "modify")
    assert rows(server) == 0


def test_beyond_a_limit_that_was_lowered_what_is_there_may_still_change(host, juliet):
    juliet.set(query(*(f"<{name} xmlns='urn:example'>1</{name}>" for name in "abc")))
    host.disable("private")
    host.enable("private", {"max_elements": 1})
    juliet.set(query("<a xmlns='urn:example'>2</a>"))
    assert "2" in texts(juliet.get(query("<a xmlns='urn:example'/>")))[0]
    assert refusal(juliet.set, query("<d xmlns='urn:example'>1</d>"))[0] == "policy-violation"


# The store


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (StorageError("gone"), ("internal-server-error", "wait")),
        (StorageFull("full"), ("resource-constraint", "wait")),
    ],
)
def test_a_store_that_fails_is_told(server, host, juliet, monkeypatch, error, expected):
    server.expect_errors()

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(host.kernel.storage, "read", fail)
    monkeypatch.setattr(host.kernel.storage, "write", fail)
    assert refusal(juliet.set, query(PREFS)) == expected
    assert refusal(juliet.get, query("<exodus xmlns='exodus:prefs'/>")) == expected


def test_data_of_a_former_owner_of_the_name_is_gone(server, host):
    """Told to forget an account that it never saw, the plugin does so."""
    store = host.plugin("private").store
    store.put("juliet", {"urn:example a": b"<query xmlns='jabber:iq:private'/>"})
    assert rows(server) == 1
    host.plugin("private").stonechat_account_removed(JID.parse(JULIET))
    assert rows(server) == 0
