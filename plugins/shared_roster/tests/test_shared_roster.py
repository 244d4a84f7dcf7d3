"""Shared groups in rosters: who is shown to whom, and what users may do about it."""

import pytest

from stonechat.errors import StanzaError
from stonechat.stanza import Presence

BOTH = ("both", "", ["House of Capulet"])
HOST = "capulet.example"


# Who is shown


def test_members_find_each_other_in_their_rosters(house, juliet, nurse, romeo, talk):
    assert talk.roster(juliet) == {"nurse": BOTH}
    assert talk.roster(nurse) == {"juliet": BOTH}
    assert talk.roster(romeo) == {}


def test_nothing_of_it_is_stored_with_the_users(capulet, house, juliet, talk):
    talk.come(juliet)
    assert capulet.plugin("roster").store.own("juliet").items == {}


def test_a_group_is_shown_to_the_groups_that_display_it_only(groups, house, juliet, romeo, talk):
    groups("create", "montagues", label="House of Montague", displays="capulets")
    groups("add", "montagues", member=f"romeo@{HOST}")
    assert sorted(talk.roster(romeo)) == ["juliet", "nurse"]
    assert talk.roster(juliet) == {"nurse": BOTH}
    groups("display", "montagues", displayed="montagues")
    assert sorted(talk.roster(romeo)) == ["juliet", "nurse"]
    groups("display", "capulets", displayed="montagues")
    assert talk.roster(juliet) == {"nurse": BOTH, "romeo": ("both", "", ["House of Montague"])}
    groups("hide", "montagues", displayed="capulets")
    assert talk.roster(romeo) == {}


def test_who_is_in_two_groups_is_shown_once_in_both(groups, house, juliet, nurse, talk):
    groups("create", "servants", label="Servants")
    for name in ("juliet", "nurse"):
        groups("add", "servants", member=f"{name}@{HOST}")
    assert talk.roster(juliet) == {"nurse": ("both", "", ["House of Capulet", "Servants"])}
    groups("set", "servants", label="House of Capulet")
    assert talk.roster(juliet) == {"nurse": BOTH}


def test_a_group_without_a_label_is_shown_by_its_name(groups, juliet, nurse, talk):
    groups("create", "verona")
    for name in ("juliet", "nurse"):
        groups("add", "verona", member=f"{name}@{HOST}")
    assert talk.roster(juliet) == {"nurse": ("both", "", ["verona"])}


def test_two_hosts_have_nothing_in_common(server, groups, house, juliet, talk):
    montague = server.host("montague.example", roster={}, shared_roster={})
    romeo = montague.connect("romeo@montague.example/orchard")
    for name in ("juliet", "nurse"):
        montague.create_account(name)
    assert talk.roster(romeo) == {}
    groups("create", "capulets", host="montague.example", label="Foes")
    groups("add", "capulets", host="montague.example", member="romeo@montague.example")
    groups("add", "capulets", host="montague.example", member="juliet@montague.example")
    assert talk.roster(romeo) == {"juliet": ("both", "", ["Foes"])}
    assert talk.roster(juliet) == {"nurse": BOTH}
    groups("delete", "capulets", host="montague.example")
    assert talk.roster(juliet) == {"nurse": BOTH}


def test_groups_outlive_a_restart(server, capulet, groups, house, talk):
    groups("create", "servants", description="Who carry the torches", displays="capulets")
    groups("add", "servants", member="@online@")
    shown = groups("list"), groups("members", "capulets"), groups("members", "servants")
    server.restart()
    assert (groups("list"), groups("members", "capulets"), groups("members", "servants")) == shown
    assert talk.roster(capulet.connect(f"juliet@{HOST}/balcony")) == {"nurse": BOTH}


# What the user has besides


def test_what_a_user_calls_a_contact_is_kept(house, juliet, nurse, talk):
    talk.set(juliet, "nurse", "Angelica", ["Friends", "House of Capulet"])
    merged = ("both", "Angelica", ["Friends", "House of Capulet"])
    assert talk.roster(juliet) == {"nurse": merged}
    assert talk.roster(nurse) == {"juliet": BOTH}


def test_a_shared_label_does_not_become_a_group_of_the_users_own(groups, house, juliet, talk):
    talk.set(juliet, "nurse", "Angelica", ["Friends", "House of Capulet"])
    groups("set", "capulets", label="The Capulets")
    assert talk.roster(juliet)["nurse"] == ("both", "Angelica", ["Friends", "The Capulets"])
    groups("delete", "capulets")
    assert talk.roster(juliet) == {"nurse": ("none", "Angelica", ["Friends"])}


def test_a_group_that_was_the_users_own_stays_it(groups, house, juliet, romeo, talk):
    talk.set(juliet, "romeo", "Romeo", ["House of Capulet"])
    house("romeo")
    assert talk.roster(juliet)["romeo"] == ("both", "Romeo", ["House of Capulet"])
    talk.set(juliet, "romeo", "Husband", ["House of Capulet"])
    groups("remove", "capulets", member=f"romeo@{HOST}")
    assert talk.roster(juliet)["romeo"] == ("none", "Husband", ["House of Capulet"])


def test_the_push_for_a_changed_name_has_the_shared_group(house, juliet, talk):
    talk.query(juliet)
    talk.set(juliet, "nurse", "Angelica")
    assert talk.pushed(juliet) == {"nurse": ("both", "Angelica", ["House of Capulet"])}


def test_removing_a_contact_removes_what_is_the_users_own(house, juliet, talk):
    talk.set(juliet, "nurse", "Angelica", ["Friends"])
    talk.query(juliet)
    juliet.received()
    talk.remove(juliet, "nurse")
    assert talk.pushed(juliet) == {"nurse": BOTH}
    assert talk.roster(juliet) == {"nurse": BOTH}


def test_removing_a_contact_that_is_only_shared_changes_nothing(house, juliet, talk):
    version = talk.version(juliet)
    talk.remove(juliet, "nurse")
    assert talk.pushes(juliet) == [("nurse", BOTH, version)]
    assert talk.roster(juliet) == {"nurse": BOTH}
    with pytest.raises(StanzaError) as excinfo:
        talk.remove(juliet, "romeo")
    assert excinfo.value.condition == "item-not-found"


def test_subscriptions_of_before_end_with_the_contact_on_both_sides(
    groups, house, juliet, romeo, talk
):
    for one, other in ((juliet, "romeo"), (romeo, "juliet")):
        talk.say(one, "subscribe", other)
    talk.say(juliet, "subscribed", "romeo")
    talk.say(romeo, "subscribed", "juliet")
    talk.come(juliet)
    talk.come(romeo)
    house("romeo")
    romeo.received()
    talk.remove(juliet, "romeo")
    # They still see each other, and so nobody hears of it.
    assert talk.presences(romeo) == []
    assert talk.roster(romeo)["juliet"] == BOTH
    groups("remove", "capulets", member=f"romeo@{HOST}")
    assert talk.roster(juliet) == {"nurse": BOTH}
    assert talk.roster(romeo) == {"juliet": ("none", "", [])}
    assert talk.presences(romeo) == [("unavailable", "juliet")]


def test_a_request_that_waited_is_not_shown_to_who_sees_already(
    capulet, groups, house, romeo, talk
):
    tybalt = capulet.connect(f"tybalt@{HOST}/street")
    talk.say(romeo, "subscribe", "juliet")
    talk.say(tybalt, "subscribe", "juliet")
    house("romeo")
    juliet = capulet.connect(f"juliet@{HOST}/balcony")
    juliet.available()
    assert talk.presences(juliet) == [("", "juliet"), ("subscribe", "tybalt")]
    assert capulet.kernel.service("roster").requests("juliet") == {tybalt.bare}
    groups("remove", "capulets", member=f"romeo@{HOST}")
    juliet.unavailable()
    juliet.available()
    assert ("subscribe", "romeo") in talk.presences(juliet)


@pytest.mark.parametrize("kind", ["subscribe", "subscribed", "unsubscribe", "unsubscribed"])
def test_subscription_stanzas_between_members_change_nothing(
    capulet, groups, house, juliet, nurse, talk, kind
):
    talk.come(juliet)
    talk.come(nurse)
    talk.say(juliet, kind, "nurse")
    assert nurse.received() == []
    juliet.received()
    juliet.available(show="away")
    assert talk.presences(nurse) == [("", "juliet")]
    groups("delete", "capulets")
    assert talk.roster(nurse) == {}
    # Nobody has asked the nurse, so nothing may be left of it.
    assert talk.roster(juliet) == {}
    nurse.received()
    juliet.available()
    assert talk.presences(nurse) == []


def test_who_asks_a_member_sees_at_once_that_it_is_granted(house, juliet, nurse, talk):
    version = talk.version(juliet)
    talk.say(juliet, "subscribe", "nurse")
    assert talk.pushes(juliet) == [("nurse", BOTH, version)]


def test_who_is_shown_to_another_may_add_them(groups, house, juliet, romeo, talk):
    groups("create", "montagues", label="House of Montague", displays="capulets")
    groups("add", "montagues", member=f"romeo@{HOST}")
    talk.come(juliet)
    talk.come(romeo)
    talk.say(juliet, "subscribe", "romeo")
    assert talk.pushed(juliet) == {"romeo": ("both", "", [])}
    assert romeo.received() == []
    talk.set(juliet, "romeo", "Romeo", ["Lovers"])
    assert talk.roster(juliet)["romeo"] == ("both", "Romeo", ["Lovers"])
    groups("delete", "montagues")
    assert talk.roster(juliet)["romeo"] == ("none", "Romeo", ["Lovers"])


def test_a_subscription_that_ends_while_it_is_shared_has_ended_afterwards(
    groups, house, juliet, romeo, talk
):
    for one, other in ((juliet, "romeo"), (romeo, "juliet")):
        talk.say(one, "subscribe", other)
    talk.say(juliet, "subscribed", "romeo")
    talk.say(romeo, "subscribed", "juliet")
    house("romeo")
    talk.come(juliet)
    talk.come(romeo)
    juliet.received()
    talk.say(juliet, "unsubscribed", "romeo")
    assert [item for _, item, _ in talk.pushes(juliet)] == [BOTH]
    # They see each other still.
    assert talk.presences(romeo) == []
    talk.say(romeo, "unsubscribe", "juliet")
    assert talk.presences(romeo) == talk.presences(juliet) == []
    groups("remove", "capulets", member=f"romeo@{HOST}")
    assert talk.roster(juliet)["romeo"] == ("to", "", [])
    assert talk.roster(romeo)["juliet"] == ("from", "", [])


def test_a_contact_who_ends_a_subscription_is_seen_as_before(groups, house, juliet, romeo, talk):
    talk.say(juliet, "subscribe", "romeo")
    talk.say(romeo, "subscribed", "juliet")
    house("romeo")
    talk.come(juliet)
    talk.come(romeo)
    juliet.received()
    talk.say(juliet, "unsubscribe", "romeo")
    assert talk.presences(juliet) == talk.presences(romeo) == []
    groups("remove", "capulets", member=f"romeo@{HOST}")
    assert talk.roster(juliet)["romeo"] == ("none", "", [])


def test_who_unsubscribes_from_a_member_sees_that_it_stays(house, juliet, talk):
    talk.set(juliet, "nurse", "Angelica")
    version = talk.version(juliet)
    juliet.received()
    talk.say(juliet, "unsubscribe", "nurse")
    merged = ("both", "Angelica", ["House of Capulet"])
    assert talk.pushes(juliet) == [("nurse", merged, version)]


def test_a_request_that_comes_another_way_is_answered_and_not_kept(
    capulet, groups, house, juliet, nurse, talk
):
    talk.come(juliet)
    for kind in ("subscribe", "subscribed"):
        capulet.kernel.route(Presence(type=kind, from_=nurse.bare, to=juliet.bare))
    assert juliet.received() == []
    groups("delete", "capulets")
    assert capulet.kernel.service("roster").requests("juliet") == frozenset()
    assert talk.roster(juliet) == {}


# What other plugins hear of it


def test_the_service_knows_shared_contacts(capulet, house, juliet, nurse, romeo):
    service = capulet.kernel.service("roster")
    (item,) = service.contacts("juliet")
    assert (item.jid, item.subscription, item.groups) == (
        nurse.bare,
        "both",
        ("House of Capulet",),
    )
    assert service.item("juliet", nurse.jid) == item
    assert service.item("juliet", romeo.jid) is None
    assert service.subscription("juliet", nurse.bare) == "both"
    assert service.watchers("juliet") == service.sources("juliet") == (nurse.bare,)
    assert service.watchers("romeo") == ()
    assert capulet.kernel.may_see_presence(juliet.bare, nurse.bare)
    assert not capulet.kernel.may_see_presence(juliet.bare, romeo.bare)


def test_what_is_set_for_a_user_lies_beneath_what_is_shared(
    server, capulet, house, juliet, nurse, talk
):
    talk.come(juliet)
    talk.come(nurse)
    juliet.received()
    for subscription in ("both", "none"):
        added = server.command(
            "roster-add",
            account=f"juliet@{HOST}",
            contact=f"nurse@{HOST}",
            subscription=subscription,
        )
        assert (added["subscription"], added["groups"]) == ("both", ["House of Capulet"])
        assert nurse.received() == talk.presences(juliet) == []
    server.command("roster-remove", account=f"juliet@{HOST}", contact=f"nurse@{HOST}")
    assert nurse.received() == []
    assert talk.roster(juliet) == {"nurse": BOTH}
