"""What `stonechat.host` promises to plugins, where no other file of tests is about it."""

import pytest

from stonechat.auth import AuthUnavailable
from stonechat.commands import CommandError
from stonechat.jid import JID


class Porter:
    """A plugin that does nothing: its `Host` is what counts."""

    def __init__(self, host, options) -> None:
        self.host = host


@pytest.fixture
def capulet(server):
    """The host of the Capulets as a plugin sees it; Juliet has an account there."""
    tested = server.host("capulet.example", plugin_classes={"porter": Porter})
    tested.create_account("juliet")
    return tested.plugin("porter").host


@pytest.mark.parametrize("jid", ["juliet@capulet.example", "Juliet@Capulet.Example/balcony"])
def test_the_account_that_a_command_names_is_known_by_its_localpart(capulet, jid):
    assert capulet.existing_account(JID.parse(jid)) == "juliet"


@pytest.mark.parametrize(
    "jid",
    [
        pytest.param("tybalt@capulet.example/street", id="nobody"),
        pytest.param("capulet.example", id="the host itself"),
        pytest.param("juliet@montague.example", id="the same name elsewhere"),
    ],
)
def test_a_command_that_names_no_account_of_the_host_is_told_so(capulet, jid):
    with pytest.raises(CommandError) as refusal:
        capulet.existing_account(JID.parse(jid))
    assert refusal.value.condition == "item-not-found"
    assert str(refusal.value) == f"There is no account {jid.partition('/')[0]}."


def test_while_nobody_can_say_whether_an_account_is_there_no_command_is_told_that_it_is_not(
    capulet, monkeypatch
):
    def away(localpart):
        raise AuthUnavailable("down")

    monkeypatch.setattr(capulet.accounts, "exists", away)
    with pytest.raises(AuthUnavailable):
        capulet.existing_account(JID.parse("juliet@capulet.example"))


def test_a_session_stands_for_the_address_that_it_connects_from(server):
    server.configure(access={"at-home": {"addresses": ["192.0.2.0/24"]}})
    tested = server.host("capulet.example", plugin_classes={"porter": Porter})
    capulet = tested.plugin("porter").host
    inside = tested.connect("juliet@capulet.example/balcony", address="192.0.2.7")
    outside = tested.connect("juliet@capulet.example/street", address="203.0.113.7")
    assert capulet.allows("at-home", inside.jid)
    assert not capulet.allows("at-home", outside.jid)
    assert not capulet.allows("at-home", inside.bare)
    assert capulet.allows("at-home", outside.jid, "192.0.2.8")


def test_a_domain_is_ours_if_a_host_or_a_plugin_answers_for_it(server, capulet):
    server.host("montague.example")
    capulet.register_route("*.rooms.capulet.example", lambda stanza: None)
    ours = ["capulet.example", "montague.example", "verona.rooms.capulet.example"]
    others = ["tybalt.example", "rooms.capulet.example", "x.capulet.example", ""]
    assert [domain for domain in [*ours, *others] if capulet.serves(domain)] == ours
