"""Tokens (XEP-0484): how they are replaced, how they end, and what operators see of them."""

import pytest
from fast_client import (
    DAY,
    EXPR,
    NONE,
    NS,
    NS_FAST,
    PASSWORD,
    PHONE,
    TABLET,
    TLS_13,
    back,
    condition_of,
    new_token,
    request,
    token_of,
)

from stonechat import timestamps
from stonechat.commands import CommandError
from stonechat.errors import StorageError
from stonechat.namespaces import NS_BIND

# Rotation


def rotated(host, token, **options):
    found = token_of(back(host, token, **options))
    return None if found is None else found.get("token")


def test_an_old_token_is_replaced_when_it_is_used(server, host):
    token = new_token(host)
    assert rotated(host, token) is None
    server.clock.advance(DAY)
    new = rotated(host, token)
    assert new is not None
    assert new != token
    assert rotated(host, new) is None


def test_the_old_one_is_good_until_the_new_one_was_used(server, host):
    token = new_token(host)
    server.clock.advance(DAY)
    lost = rotated(host, token)
    # The client never heard of it.
    new = rotated(host, token)
    assert condition_of(back(host, lost)) == "not-authorized"
    assert back(host, new).name == "success"
    assert condition_of(back(host, token)) == "not-authorized"


def test_the_new_one_is_for_the_same_mechanism(server, host):
    token = new_token(host, EXPR, bindings=TLS_13)
    server.clock.advance(DAY)
    binding = TLS_13["tls-exporter"]
    new = rotated(host, token, mechanism=EXPR, bindings=TLS_13, binding=binding)
    assert back(host, new, EXPR, bindings=TLS_13, binding=binding).name == "success"


def test_who_asks_gets_one_token_and_for_what_he_asked(server, host):
    token = new_token(host, NONE, bindings=TLS_13)
    server.clock.advance(DAY)
    success = back(host, token, bindings=TLS_13, payload=request(EXPR))
    (element,) = success.find_all("token", NS_FAST)
    binding = TLS_13["tls-exporter"]
    assert (
        back(host, element.get("token"), EXPR, bindings=TLS_13, binding=binding).name == "success"
    )


def test_how_often_is_the_operators_choice(server):
    host = server.host("montague.example", sasl2={}, fast={"rotate_after": 0, "lifetime": "1 h"})
    host.create_account("juliet", PASSWORD)
    token = rotated(host, new_token(host))
    server.clock.advance(3601)
    assert condition_of(back(host, token)) == "credentials-expired"


# Taking tokens back


@pytest.mark.parametrize("word", ["1", "true"])
def test_a_client_ends_its_token_with_the_last_use(server, host, word):
    token = new_token(host)
    server.clock.advance(DAY)
    assert rotated(host, token, fast=f"invalidate='{word}'") is None
    assert condition_of(back(host, token)) == "not-authorized"
    assert host.plugin("fast").tokens.clients("juliet") == []


def test_a_token_that_it_was_given_meanwhile_ends_too(server, host):
    token = new_token(host)
    server.clock.advance(DAY)
    new = rotated(host, token)
    assert token_of(back(host, token, fast="invalidate='true'")) is None
    assert condition_of(back(host, new)) == "not-authorized"


def test_who_ends_one_may_ask_for_another(host):
    token = new_token(host)
    new = token_of(back(host, token, fast="invalidate='1'", payload=request())).get("token")
    assert condition_of(back(host, token)) == "not-authorized"
    assert back(host, new).name == "success"


@pytest.mark.parametrize("word", ["0", "false", ""])
def test_any_other_word_ends_nothing(host, word):
    token = new_token(host)
    assert back(host, token, fast=f"invalidate='{word}'").name == "success"
    assert back(host, token).name == "success"


def test_nobody_ends_the_token_of_another(host):
    token = new_token(host)
    assert back(host, "guess", fast="invalidate='1'").name == "failure"
    assert back(host, token).name == "success"


def test_a_new_password_ends_all_tokens_of_the_account(host):
    phone, tablet = new_token(host), new_token(host, agent=TABLET)
    romeos = new_token(host, localpart="romeo")
    host.kernel.accounts.set_password("juliet", "another")
    assert condition_of(back(host, phone)) == "not-authorized"
    assert condition_of(back(host, tablet, agent=TABLET)) == "not-authorized"
    assert back(host, romeos, localpart="romeo").name == "success"


def test_a_removed_account_leaves_no_tokens(host):
    token = new_token(host)
    host.kernel.accounts.remove("juliet")
    assert host.plugin("fast").tokens.clients("juliet") == []
    host.create_account("juliet", PASSWORD)
    assert condition_of(back(host, token)) == "not-authorized"


def test_an_account_that_was_removed_elsewhere_is_not_opened(server, host):
    token = new_token(host)
    host.kernel.accounts._chain._backends[0].instance.remove_user("juliet")
    server.clock.advance(61)  # so long an account that was there is not asked for again
    assert condition_of(back(host, token)) == "not-authorized"


def test_who_began_with_the_old_password_gets_no_token_after_it_was_changed(host):
    stream = host.open_stream(tls=True)
    host.kernel.accounts.set_password("romeo", "another")
    success = stream.log_in_inline("juliet", PASSWORD, request(), agent=PHONE)
    assert token_of(success) is None


def test_tokens_that_cannot_be_dropped_are_good_for_nothing_and_dropped_later(
    server, host, monkeypatch
):
    server.expect_errors()
    token = new_token(host)
    plugin = host.plugin("fast")
    drop = plugin.tokens.drop

    def fail(*arguments):
        raise StorageError("the database is away")

    monkeypatch.setattr(plugin.tokens, "drop", fail)
    host.kernel.accounts.set_password("juliet", "another")
    assert condition_of(back(host, token)) == "not-authorized"
    assert len(plugin.tokens.clients("juliet")) == 1
    server.clock.advance(10)
    assert len(server.logged("tokens not dropped")) == 2
    monkeypatch.setattr(plugin.tokens, "drop", drop)
    server.clock.advance(10)
    assert plugin.tokens.clients("juliet") == []
    assert not plugin.revoked


def test_of_two_revocations_the_second_is_not_forgotten_with_the_first(server, host, monkeypatch):
    server.expect_errors()
    token = new_token(host)
    plugin = host.plugin("fast")
    drop = plugin.tokens.drop

    def fail(*arguments):
        raise StorageError("the database is away")

    def drop_and_be_late(localpart):
        dropped = drop(localpart)
        monkeypatch.setattr(plugin.tokens, "drop", fail)
        # The first is still on its way back when the second comes, and fails.
        host.kernel.accounts.set_password("juliet", "a third")
        return dropped

    monkeypatch.setattr(plugin.tokens, "drop", drop_and_be_late)
    host.kernel.accounts.set_password("juliet", "another")
    assert list(plugin.revoked) == ["juliet"]
    monkeypatch.setattr(plugin.tokens, "drop", drop)
    server.clock.advance(10)
    assert not plugin.revoked
    assert condition_of(back(host, token)) == "not-authorized"


def test_expired_tokens_are_deleted(server, host):
    new_token(host)
    server.clock.advance(20 * DAY)
    new_token(host, agent=TABLET)
    server.clock.advance(8 * DAY + 3600)
    (client,) = host.plugin("fast").tokens.clients("juliet")
    assert client.agent.id == TABLET


def test_an_account_has_tokens_for_so_many_clients_and_no_more(server):
    host = server.host("montague.example", sasl2={}, fast={"max_clients": 2})
    host.create_account("juliet", PASSWORD)
    agents = [f"d4565fa7-4d72-4749-b3d3-74000000000{number}" for number in range(3)]
    tokens = []
    for agent in agents[:2]:
        tokens.append(new_token(host, agent=agent))
        server.clock.advance(3600)
    # The older one is used again, so that the other has to go.
    assert back(host, tokens[0], agent=agents[0]).name == "success"
    tokens.append(new_token(host, agent=agents[2]))
    outcomes = [back(host, t, agent=a).name for t, a in zip(tokens, agents, strict=True)]
    assert outcomes == ["success", "failure", "success"]


def test_who_was_given_a_token_is_not_unused_longest(server):
    host = server.host("montague.example", sasl2={}, fast={"max_clients": 2})
    host.create_account("juliet", PASSWORD)
    new_token(host, agent=PHONE)
    server.clock.advance(3600)
    new_token(host, agent=TABLET)
    server.clock.advance(3600)
    # It had lost the first, and comes with the password once more.
    phone = new_token(host, agent=PHONE)
    new_token(host, agent="d4565fa7-4d72-4749-b3d3-740000000000")
    assert back(host, phone, agent=PHONE).name == "success"


# Commands


def test_an_operator_sees_who_has_tokens(server, host):
    stream = host.open_stream(tls=True)
    stream.send(
        f"<authenticate xmlns='{NS}' mechanism='PLAIN'><initial-response>AGp1bGlldABSMG0zMA=="
        f"</initial-response><user-agent id='{PHONE}'><software>Awesome</software>"
        f"<device>Nurse's phone</device></user-agent>{request()}</authenticate>"
    )
    assert stream.receive_element().name == "success"
    (row,) = server.command("fast-clients", jid="juliet@capulet.example")
    assert (row["client"], row["software"], row["device"]) == (PHONE, "Awesome", "Nurse's phone")
    assert timestamps.read(row["expires"]) > timestamps.read(row["used"])
    assert set(row) == {"client", "software", "device", "used", "expires"}


def test_when_a_token_was_used_last_is_known_to_the_hour(server, host):
    token = new_token(host)

    def used():
        (row,) = server.command("fast-clients", jid="juliet@capulet.example")
        return timestamps.read(row["used"])

    back(host, token)
    first = used()
    server.clock.advance(1800)
    back(host, token)
    assert used() == first
    server.clock.advance(1801)
    back(host, token)
    assert 0 <= used() - first - 3601 * 1_000_000 < 1_000_000


def test_an_operator_takes_the_tokens_of_a_client_back(server, host):
    phone, tablet = new_token(host), new_token(host, agent=TABLET)
    jid = "juliet@capulet.example"
    assert server.command("fast-revoke", jid=jid, client=PHONE.upper()) == 1
    assert condition_of(back(host, phone)) == "not-authorized"
    assert back(host, tablet, agent=TABLET).name == "success"
    assert server.command("fast-revoke", jid=jid) == 1
    assert condition_of(back(host, tablet, agent=TABLET)) == "not-authorized"
    assert server.command("fast-clients", jid=jid) == []


@pytest.mark.parametrize("jid", ["capulet.example", "juliet@capulet.example/balcony"])
def test_commands_are_about_accounts(server, host, jid):
    with pytest.raises(CommandError, match="account"):
        server.command("fast-clients", jid=jid)


def test_sessions_by_other_ways_are_as_ever(host):
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    assert host.kernel.session(juliet.jid).data == {}
    stream = host.open_stream(tls=True)
    stream.log_in_inline("juliet", PASSWORD, agent=PHONE)
    stream.send(f"<iq type='set' id='b1'><bind xmlns='{NS_BIND}'/></iq>")
    assert stream.receive().type == "result"
