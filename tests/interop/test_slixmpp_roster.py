"""slixmpp keeps a roster on the server, and subscribes to others (RFC 6121, sections 2 and 3)."""

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"
NURSE = "nurse@capulet.example"


def keep(person, jid, **item):
    """Add a contact, or change it."""
    person.run(lambda: person.xmpp.update_roster(jid, **item))


def test_every_client_of_an_account_learns_of_a_new_contact(cast):
    balcony, chamber = cast.login(f"{JULIET}/balcony"), cast.login(f"{JULIET}/chamber")
    assert balcony.get_roster() == chamber.get_roster() == {}
    keep(balcony, NURSE, name="Angélique 👵", groups=["House", "Famille"], subscription="none")
    for client in (balcony, chamber):
        item = client.push(NURSE, "none")
        assert item["name"] == "Angélique 👵"
        assert sorted(item["groups"]) == ["Famille", "House"]
    # It is kept for whoever comes later.
    item = cast.login(f"{JULIET}/garden").get_roster()[NURSE]
    assert item["name"] == "Angélique 👵"
    assert sorted(item["groups"]) == ["Famille", "House"]


def test_a_contact_is_renamed_moved_and_removed(cast):
    juliet = cast.login(f"{JULIET}/balcony")
    juliet.get_roster()
    keep(juliet, NURSE, name="Nurse", groups=["House"], subscription="none")
    assert juliet.push(NURSE, "none")["groups"] == ["House"]
    keep(juliet, NURSE, name="Angelica", groups=[], subscription="none")
    item = juliet.push(NURSE, "none")
    assert (item["name"], item["groups"]) == ("Angelica", [])
    juliet.run(lambda: juliet.xmpp.del_roster_item(NURSE))
    juliet.push(NURSE, "remove")
    assert juliet.get_roster() == {}


def test_a_client_that_knows_a_version_gets_only_what_has_changed(cast):
    juliet = cast.login(f"{JULIET}/balcony")
    assert "rosterver" in juliet.xmpp.features
    juliet.get_roster()
    for number in range(6):
        keep(juliet, f"servant{number}@capulet.example", subscription="none")
        juliet.push(f"servant{number}@capulet.example", "none")
    known = juliet.xmpp.client_roster.version
    assert known
    later = cast.login(f"{JULIET}/chamber")
    assert later.get_roster(known) == {}
    assert later.rest() == []
    keep(juliet, "servant3@capulet.example", name="Peter", subscription="none")
    juliet.push("servant3@capulet.example", "none")
    latest = cast.login(f"{JULIET}/garden")
    assert latest.get_roster(known) == {}
    assert latest.push("servant3@capulet.example", "none")["name"] == "Peter"
    assert latest.rest() == []
    # Who knows nothing gets everything.
    assert len(cast.login(f"{JULIET}/hall").get_roster()) == 6


def test_two_subscribe_to_each_other(cast):
    juliet, romeo = cast.login(f"{JULIET}/balcony"), cast.login(f"{ROMEO}/orchard")
    for person in (juliet, romeo):
        person.get_roster()
        person.available()

    romeo.send_presence(to=JULIET, type="subscribe")
    romeo.push(JULIET, "none", ask="subscribe")
    assert juliet.presence(ROMEO, "subscribe")["from"] == ROMEO

    juliet.send_presence(to=ROMEO, type="subscribed")
    juliet.push(ROMEO, "from")
    romeo.presence(JULIET, "subscribed")
    romeo.push(JULIET, "to")
    romeo.presence(juliet.jid)

    juliet.send_presence(to=ROMEO, type="subscribe")
    juliet.push(ROMEO, "from", ask="subscribe")
    romeo.presence(JULIET, "subscribe")
    romeo.send_presence(to=JULIET, type="subscribed")
    romeo.push(JULIET, "both")
    juliet.presence(ROMEO, "subscribed")
    juliet.push(ROMEO, "both")
    juliet.presence(romeo.jid)

    assert juliet.get_roster()[ROMEO]["subscription"] == "both"
    assert romeo.get_roster()[JULIET]["subscription"] == "both"


def test_a_request_waits_for_who_is_away(cast):
    cast.account(JULIET)
    romeo = cast.login(f"{ROMEO}/orchard")
    romeo.get_roster()
    romeo.available()
    romeo.send_presence(to=JULIET, type="subscribe", status="By whose direction?")
    romeo.push(JULIET, "none", ask="subscribe")
    romeo.leave()
    juliet = cast.login(f"{JULIET}/balcony")
    juliet.available()
    request = juliet.presence(ROMEO, "subscribe")
    assert request["status"] == "By whose direction?"
    # Until it is answered it comes again.
    chamber = cast.login(f"{JULIET}/chamber")
    chamber.available()
    chamber.presence(ROMEO, "subscribe")


def test_a_refused_request_leaves_nothing_open(cast):
    juliet, paris = cast.login(f"{JULIET}/balcony"), cast.login("paris@capulet.example/church")
    for person in (juliet, paris):
        person.get_roster()
        person.available()
    paris.send_presence(to=JULIET, type="subscribe")
    juliet.presence(paris.bare, "subscribe")
    juliet.send_presence(to=paris.bare, type="unsubscribed")
    paris.presence(JULIET, "unsubscribed")
    paris.push(JULIET, "none")
    assert juliet.get_roster() == {}


def test_who_unsubscribes_sees_nothing_any_more(cast):
    cast.befriend(JULIET, ROMEO)
    juliet, romeo = cast.login(f"{JULIET}/balcony"), cast.login(f"{ROMEO}/orchard")
    for person in (juliet, romeo):
        person.get_roster()
        person.available()
    romeo.presence(juliet.jid)
    romeo.send_presence(to=JULIET, type="unsubscribe")
    romeo.push(JULIET, "from")
    romeo.presence(juliet.jid, "unavailable")
    juliet.presence(ROMEO, "unsubscribe")
    juliet.push(ROMEO, "to")
    # The other direction is as it was.
    juliet.presence(romeo.jid)


def test_removing_a_contact_ends_both_subscriptions(cast):
    cast.befriend(JULIET, ROMEO)
    juliet, romeo = cast.login(f"{JULIET}/balcony"), cast.login(f"{ROMEO}/orchard")
    for person in (juliet, romeo):
        person.get_roster()
        person.available()
    juliet.presence(romeo.jid)
    juliet.run(lambda: juliet.xmpp.del_roster_item(ROMEO))
    juliet.push(ROMEO, "remove")
    juliet.presence(romeo.jid, "unavailable")
    romeo.presence(JULIET, "unsubscribe")
    romeo.presence(JULIET, "unsubscribed")
    romeo.presence(juliet.jid, "unavailable")
    romeo.push(JULIET, "none")
