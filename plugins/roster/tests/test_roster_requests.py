"""Getting and setting the roster (RFC 6121, section 2)."""

import pytest

from stonechat.errors import StanzaError
from stonechat.stanza import Element, Iq

NS_ROSTER = "jabber:iq:roster"
ROMEO = "romeo@montague.example"
NURSE = "nurse@capulet.example"
BENVOLIO = "benvolio@montague.example"


def condition(excinfo):
    return excinfo.value.condition


def test_a_new_roster_is_empty(juliet, talk):
    assert talk.get(juliet).elements == []


def test_an_item_has_name_groups_and_subscription(juliet, talk):
    talk.set(juliet, ROMEO, "Romeo", ["Friends", "Lovers"])
    (item,) = talk.get(juliet).elements
    assert item.attributes == {"jid": ROMEO, "name": "Romeo", "subscription": "none"}
    assert [group.text for group in item.elements] == ["Friends", "Lovers"]


def test_a_set_replaces_name_and_groups(juliet, talk):
    talk.set(juliet, ROMEO, "Romeo", ["Friends"])
    talk.set(juliet, ROMEO)
    (item,) = talk.get(juliet).elements
    assert item.attributes == {"jid": ROMEO, "subscription": "none"}
    assert item.elements == []


def test_a_set_is_answered_with_an_empty_result(juliet, talk):
    result = talk.set(juliet, ROMEO)
    assert (result.type, result.children) == ("result", ())


def test_a_set_may_be_addressed_to_the_own_bare_jid(juliet, talk):
    juliet.set(talk.query(ROMEO), to=juliet.bare)
    assert list(talk.items(juliet)) == [ROMEO]


@pytest.mark.parametrize("value", ["both", "to", "from", "none", "nonsense"])
def test_a_client_cannot_give_itself_a_subscription(juliet, talk, value):
    juliet.set(talk.query(ROMEO, subscription=value, ask="subscribe", approved="true"))
    assert talk.items(juliet) == {ROMEO: {"jid": ROMEO, "subscription": "none"}}


def test_a_set_keeps_the_subscription(juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    talk.set(juliet, romeo.bare, "Romeo")
    assert talk.items(juliet)[romeo.bare.text]["subscription"] == "both"


def test_jids_are_prepared(juliet, talk):
    talk.set(juliet, "ROMEO@Montague.Example")
    assert list(talk.items(juliet)) == [ROMEO]


def test_text_comes_back_as_it_was_sent(juliet, talk, server, capulet):
    name, group = "Roméo <&'\"> 💘", "  Amis  "
    talk.set(juliet, ROMEO, name, [group])
    server.restart()
    juliet = capulet.connect("juliet@capulet.example/balcony")
    (item,) = talk.get(juliet).elements
    assert item.get("name") == name
    assert item.find_text("group") == group


def test_the_host_and_its_accounts_name_the_feature(capulet):
    kernel = capulet.kernel
    assert [NS_ROSTER] in kernel.collect("stonechat_disco_features", {})
    assert [NS_ROSTER] in kernel.collect("stonechat_account_disco_features", {})


def test_a_session_that_is_gone_meanwhile_gets_nothing(capulet, juliet):
    query = Element(NS_ROSTER, "query")
    gone = juliet.bare.with_resource("gone")
    assert capulet.plugin("roster").requests.get(Iq(query, type="get", id="a", from_=gone)) is None


# Errors (2.3.3)


def test_a_set_without_an_item_is_a_bad_request(juliet):
    with pytest.raises(StanzaError) as excinfo:
        juliet.set(Element(NS_ROSTER, "query"))
    assert condition(excinfo) == "bad-request"


def test_a_set_with_two_items_is_a_bad_request_and_changes_nothing(juliet, talk):
    query = talk.query(ROMEO)
    query.add("item", jid=NURSE)
    with pytest.raises(StanzaError) as excinfo:
        juliet.set(query)
    assert condition(excinfo) == "bad-request"
    assert talk.items(juliet) == {}


@pytest.mark.parametrize("type_", ["get", "set"])
def test_a_payload_that_is_no_query_is_a_bad_request(juliet, type_):
    answer = juliet.request(type_, Element(NS_ROSTER, "item"))
    assert answer.type == "error"
    assert answer.element.find("error").find("bad-request", "urn:ietf:params:xml:ns:xmpp-stanzas")


def test_a_group_named_twice_is_a_bad_request(juliet, talk):
    with pytest.raises(StanzaError) as excinfo:
        talk.set(juliet, ROMEO, groups=["Friends", "Friends"])
    assert condition(excinfo) == "bad-request"


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("", [""]),
        ("x" * 257, []),
        ("", ["x" * 257]),
        ("", [f"group {number}" for number in range(21)]),
    ],
    ids=["empty group", "long name", "long group", "many groups"],
)
def test_what_is_beyond_the_limits_is_not_acceptable(juliet, talk, name, groups):
    with pytest.raises(StanzaError) as excinfo:
        talk.set(juliet, ROMEO, name, groups)
    assert condition(excinfo) == "not-acceptable"
    assert talk.items(juliet) == {}


def test_what_is_at_the_limits_is_taken(juliet, talk):
    talk.set(juliet, ROMEO, "x" * 256, [f"{number:0256}" for number in range(20)])
    assert len(talk.get(juliet).first().elements) == 20


@pytest.mark.parametrize("jid", ["", "@montague.example", "romeo@montague example"])
def test_a_jid_that_is_none_is_jid_malformed(juliet, talk, jid):
    with pytest.raises(StanzaError) as excinfo:
        talk.set(juliet, jid)
    assert condition(excinfo) == "jid-malformed"


def test_a_full_jid_is_a_bad_request(juliet, talk):
    with pytest.raises(StanzaError) as excinfo:
        talk.set(juliet, f"{ROMEO}/orchard")
    assert condition(excinfo) == "bad-request"


def test_nobody_is_in_their_own_roster(juliet, talk):
    with pytest.raises(StanzaError) as excinfo:
        talk.set(juliet, juliet.bare)
    assert condition(excinfo) == "not-allowed"


def test_a_full_roster_takes_no_more_but_lets_items_be_changed(server, talk):
    host = server.host("capulet.example", roster={"max_items": 2})
    juliet = host.connect("juliet@capulet.example/balcony")
    talk.set(juliet, ROMEO)
    talk.set(juliet, NURSE)
    with pytest.raises(StanzaError) as excinfo:
        talk.set(juliet, BENVOLIO)
    assert condition(excinfo) == "policy-violation"
    talk.set(juliet, ROMEO, "Romeo")
    talk.remove(juliet, NURSE)
    talk.set(juliet, BENVOLIO)
    assert sorted(talk.items(juliet)) == [BENVOLIO, ROMEO]


def answer_about(client, type_, payload, localpart):
    """How a request for somebody's roster is answered, without what names that account."""
    answer = client.request(type_, payload, to=f"{localpart}@capulet.example")
    assert (answer.type, answer.from_.localpart) == ("error", localpart)
    error = answer.element.find("error")
    return error.get("type"), [(child.name, child.text) for child in error.elements]


@pytest.mark.parametrize("stranger", ["juliet@capulet.example", "tybalt@montague.example"])
@pytest.mark.parametrize("type_", ["get", "set"])
def test_the_roster_of_another_is_forbidden_whether_there_is_one_or_not(
    server, capulet, romeo, talk, type_, stranger
):
    """2.1.5 and 2.3.3, and robustness rule 29."""
    montague = server.host("montague.example")
    host = capulet if stranger.endswith("capulet.example") else montague
    client = host.connect(f"{stranger}/street")
    payload = talk.query(NURSE) if type_ == "set" else Element(NS_ROSTER, "query")
    answers = [answer_about(client, type_, payload, name) for name in ("romeo", "nobody")]
    assert answers == [("auth", [("forbidden", ""), ("text", "A roster is its owner's.")])] * 2
    assert talk.items(romeo) == {}


def test_what_is_no_query_tells_nothing_of_accounts_either(juliet, romeo):
    payload = Element(NS_ROSTER, "item")
    answers = [answer_about(juliet, "get", payload, name) for name in ("romeo", "nobody")]
    assert answers == [("cancel", [("service-unavailable", "")])] * 2


def test_what_goes_to_a_client_is_not_for_the_roster(juliet, romeo):
    juliet.send(Iq(Element(NS_ROSTER, "query"), type="get", id="a", to=romeo.jid))
    assert romeo.receive_iq().id == "a"


# Removing (2.5)


def test_a_removed_item_is_gone(juliet, talk):
    talk.set(juliet, ROMEO)
    talk.set(juliet, NURSE)
    result = talk.remove(juliet, ROMEO)
    assert (result.type, result.children) == ("result", ())
    assert list(talk.items(juliet)) == [NURSE]


def test_what_is_not_there_cannot_be_removed(juliet, talk):
    with pytest.raises(StanzaError) as excinfo:
        talk.remove(juliet, ROMEO)
    assert condition(excinfo) == "item-not-found"


# Pushes (2.1.6)


def test_a_push_goes_to_all_who_have_the_roster(capulet, juliet, talk):
    chamber = capulet.connect("juliet@capulet.example/chamber")
    talk.get(juliet)
    talk.get(chamber)
    talk.set(juliet, ROMEO, "Romeo", ["Friends"])
    for client in (juliet, chamber):
        item = talk.push(client)
        assert item.attributes == {"jid": ROMEO, "name": "Romeo", "subscription": "none"}
        assert item.find_text("group") == "Friends"


def test_a_push_does_not_go_to_who_has_not_asked_for_the_roster(capulet, juliet, talk):
    chamber = capulet.connect("juliet@capulet.example/chamber")
    chamber.available()
    chamber.received()
    talk.set(juliet, ROMEO)
    assert juliet.received() == []
    assert chamber.received() == []


def test_a_removal_is_pushed(juliet, talk):
    talk.set(juliet, ROMEO, "Romeo")
    talk.get(juliet)
    talk.remove(juliet, ROMEO)
    assert talk.push(juliet).attributes == {"jid": ROMEO, "subscription": "remove"}


def test_a_refused_set_is_not_pushed(juliet, talk):
    talk.get(juliet)
    with pytest.raises(StanzaError):
        talk.set(juliet, ROMEO, groups=[""])
    assert juliet.received() == []


def test_what_clients_answer_to_a_push_leads_to_nothing(juliet, talk):
    talk.get(juliet)
    talk.set(juliet, ROMEO)
    push = juliet.receive_iq()
    juliet.send(Iq(type="result", id=push.id))
    juliet.send(Iq(type="result", id=push.id, to=juliet.bare))
    error = Element("jabber:client", "error", {"type": "cancel"})
    juliet.send(Iq(error, type="error", id=push.id))
    assert juliet.received() == []
    talk.set(juliet, ROMEO, "Romeo")
    assert talk.push(juliet).get("name") == "Romeo"


# Versions (2.6)


def test_the_features_are_offered_once_the_client_has_authenticated(capulet, juliet):
    ours = {"urn:xmpp:features:rosterver ver", "urn:xmpp:features:pre-approval sub"}
    before = capulet.open_stream().features
    assert not ours & {feature.qualified_name for feature in before.elements}
    after = juliet.stream.features
    assert ours <= {feature.qualified_name for feature in after.elements}


def test_every_change_has_a_version_of_its_own(juliet, talk):
    versions = [talk.get(juliet).get("ver")]
    talk.set(juliet, ROMEO)
    talk.set(juliet, ROMEO, "Romeo")
    talk.set(juliet, NURSE)
    talk.remove(juliet, NURSE)
    versions += [talk.push_query(juliet).get("ver") for _ in range(4)]
    assert len(set(versions)) == 5
    assert talk.get(juliet).get("ver") == versions[-1]


def test_a_client_that_is_up_to_date_gets_an_empty_result(juliet, talk):
    talk.set(juliet, ROMEO)
    version = talk.get(juliet).get("ver")
    juliet.received()
    assert talk.get(juliet, ver=version) is None
    assert juliet.received() == []


def test_a_client_that_is_up_to_date_gets_pushes(juliet, capulet, talk):
    version = talk.get(juliet).get("ver")
    chamber = capulet.connect("juliet@capulet.example/chamber")
    assert talk.get(chamber, ver=version) is None
    talk.set(juliet, ROMEO)
    assert talk.push(chamber).get("jid") == ROMEO


def test_a_client_gets_what_changed_as_pushes_in_order(juliet, capulet, talk):
    for number in range(6):
        talk.set(juliet, f"servant{number}@capulet.example")
    version = talk.get(juliet).get("ver")
    talk.set(juliet, "servant4@capulet.example", "Peter")
    talk.set(juliet, ROMEO, "Romeo")
    talk.set(juliet, "servant4@capulet.example", "Samson")
    latest = talk.get(juliet).get("ver")
    chamber = capulet.connect("juliet@capulet.example/chamber")
    assert talk.get(chamber, ver=version) is None
    queries = [talk.push_query(chamber), talk.push_query(chamber)]
    assert [query.first().get("name") for query in queries] == ["Romeo", "Samson"]
    assert queries[1].get("ver") == latest
    assert chamber.received() == []
    # In between, the client was cut off: it has seen Romeo only.
    again = capulet.connect("juliet@capulet.example/garden")
    assert talk.get(again, ver=queries[0].get("ver")) is None
    assert talk.push(again).get("name") == "Samson"
    assert again.received() == []


def test_the_whole_roster_comes_where_it_is_shorter(juliet, talk):
    talk.set(juliet, ROMEO)
    talk.set(juliet, NURSE)
    version = talk.get(juliet).get("ver")
    talk.set(juliet, ROMEO, "Romeo")
    talk.set(juliet, NURSE, "Nurse")
    assert len(talk.get(juliet, ver=version).elements) == 2


def test_the_whole_roster_comes_after_a_removal(juliet, talk):
    for number in range(6):
        talk.set(juliet, f"servant{number}@capulet.example")
    version = talk.get(juliet).get("ver")
    talk.remove(juliet, "servant2@capulet.example")
    assert len(talk.get(juliet, ver=version).elements) == 5
    latest = talk.get(juliet).get("ver")
    assert talk.get(juliet, ver=latest) is None


@pytest.mark.parametrize("version", ["", "0", "f" * 16, "f" * 17, "-1", "0x1", "ver14", "١"])
def test_a_version_that_is_not_known_gets_the_whole_roster(juliet, talk, version):
    talk.set(juliet, ROMEO)
    assert len(talk.get(juliet, ver=version).elements) == 1


def test_versions_outlast_a_restart(server, capulet, juliet, talk):
    talk.set(juliet, ROMEO)
    version = talk.get(juliet).get("ver")
    server.restart()
    juliet = capulet.connect("juliet@capulet.example/balcony")
    assert talk.get(juliet, ver=version) is None


def test_an_account_made_anew_does_not_repeat_the_versions_of_the_old_one(capulet, juliet, talk):
    for number in range(6):
        talk.set(juliet, f"servant{number}@capulet.example")
    version = talk.get(juliet).get("ver")
    capulet.kernel.accounts.remove("juliet")
    capulet.server.clock.advance(1)
    juliet = capulet.connect("juliet@capulet.example/balcony")
    assert talk.get(juliet, ver=version).elements == []
    for number in range(8):
        talk.set(juliet, f"guest{number}@capulet.example")
    for known in (version, "0"):
        assert len(talk.get(juliet, ver=known).elements) == 8
