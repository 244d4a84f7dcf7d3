"""Service administration (XEP-0133): what is done with accounts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stonechat.commands import CommandError
from stonechat.errors import StanzaError
from stonechat.forms import Field, Form
from stonechat.jid import JID
from stonechat.namespaces import NS_ROSTER
from stonechat.stanza import Element, Iq
from stonechat.timestamps import written
from stonechat_adhoc.tasks import (
    Desk,
    Task,
    account_field,
    accounts_field,
    all_accounts,
    each,
    one_account,
    result,
)
from stonechat_adhoc.words import Outcome, specific

NS_LAST = "jabber:iq:last"  # XEP-0012


def add_user(desk: Desk, answers: Form) -> Outcome:
    account = one_account(answers)
    password = _password(answers)
    if "password-verify" in answers and answers.get("password-verify") != password:
        raise specific("bad-payload", "The two passwords are not the same.")
    desk.host.run_command("register", desk.caller, jid=account, password=password)
    return Outcome()


def delete_user(desk: Desk, answers: Form) -> Outcome:
    def delete(account: JID) -> Sequence[Element]:
        desk.host.run_command("unregister", desk.caller, jid=account)
        return ()

    return each(all_accounts(answers), delete)


def end_user_session(desk: Desk, answers: Form) -> Outcome:
    def end(jid: JID) -> Sequence[Element]:
        desk.host.run_command("kick", desk.caller, jid=jid)
        return ()

    return each(all_accounts(answers), end)


def change_user_password(desk: Desk, answers: Form) -> Outcome:
    account, password = one_account(answers), _password(answers)
    desk.host.run_command("change-password", desk.caller, jid=account, password=password)
    return Outcome()


def get_user_roster(desk: Desk, answers: Form) -> Outcome:
    def show(account: JID) -> Sequence[Element]:
        rows = desk.host.run_command("roster-list", desk.caller, account=account)
        form = result(Field("accountjids", "jid-multi", values=(account.bare.text,)))
        form.append(_roster(rows))
        return (form,)

    return each(all_accounts(answers), show)


def get_user_lastlogin(desk: Desk, answers: Form) -> Outcome:
    def show(account: JID) -> Sequence[Element]:
        fields = [Field("accountjids", "jid-multi", values=(account.bare.text,))]
        moment = _last_seen(desk, _own(desk, account))
        if moment is not None:
            fields.append(Field("lastlogin", label="Last login", values=(written(moment),)))
        return (result(*fields),)

    return each(all_accounts(answers), show)


def user_stats(desk: Desk, answers: Form) -> Outcome:
    account = _own(desk, one_account(answers))
    sessions = desk.host.sessions(account.localpart)
    addresses = dict.fromkeys(session.address for session in sessions)
    fields = [
        Field("ipaddresses", "list-multi", "IP addresses", tuple(addresses)),
        Field(
            "onlineresources",
            "text-multi",
            "Online resources",
            tuple(session.jid.resource for session in sessions),
        ),
    ]
    if any(found.name == "roster-list" for found in desk.host.commands(desk.caller)):
        rows = desk.host.run_command("roster-list", desk.caller, account=account)
        fields.insert(1, Field("rostersize", label="Roster size", values=(str(len(rows)),)))
    return Outcome(pages=((result(*fields),),))


def _password(answers: Form) -> str:
    password = answers.get("password")
    if not password:
        raise specific("bad-payload", "A password is required.")
    return password


def _own(desk: Desk, account: JID) -> JID:
    """An account of this host; of another one we could not tell."""
    if account.domain != desk.host.name or not account.localpart:
        raise CommandError(f"{account} is no account of {desk.host.name}", "item-not-found")
    if not desk.host.accounts.exists(account.localpart):
        raise CommandError(f"there is no account {account.bare}", "item-not-found")
    return account.bare


def _roster(rows: Sequence[dict[str, Any]]) -> Element:
    query = Element(NS_ROSTER, "query")
    for row in rows:
        item = query.add("item", jid=row["jid"], subscription=row["subscription"])
        if row["name"]:
            item.set("name", row["name"])
        if row["ask"]:
            item.set("ask", "subscribe")
        for group in row["groups"]:
            item.add("group", group)
    return query


def _last_seen(desk: Desk, account: JID) -> int | None:
    """When the account logged in, if it is here; else when it was here last, if that is known."""
    sessions = desk.host.sessions(account.localpart)
    if sessions:
        return max(session.connected_at for session in sessions)
    # Each account may ask for its own (XEP-0012), and the server is who speaks for it.
    iq = Iq(Element(NS_LAST, "query"), type="get", to=account, from_=account)
    try:
        query = desk.host.ask(iq).payload
    except StanzaError:
        return None
    if query is None or not query.get("seconds").isdecimal():
        return None
    return desk.host.now() // 1_000_000 * 1_000_000 - int(query.get("seconds")) * 1_000_000


TASKS = (
    Task(
        "add-user",
        "Add User",
        "register",
        add_user,
        "Adding a User",
        "Fill out this form to add a user.",
        (
            account_field("The Jabber ID for the account to be added"),
            Field("password", "text-private", "The password for this account", required=True),
            Field("password-verify", "text-private", "Retype password"),
        ),
    ),
    Task(
        "delete-user",
        "Delete User",
        "unregister",
        delete_user,
        "Deleting a User",
        "Fill out this form to delete a user.",
        (accounts_field("The Jabber ID(s) to delete"),),
    ),
    Task(
        "end-user-session",
        "End User Session",
        "kick",
        end_user_session,
        "Ending a User Session",
        "Fill out this form to end a user's session.",
        (accounts_field("The Jabber ID(s) for which to end sessions"),),
    ),
    Task(
        "change-user-password",
        "Change User Password",
        "change-password",
        change_user_password,
        "Changing a User Password",
        "Fill out this form to change a user's password.",
        (
            account_field(),
            Field("password", "text-private", "The password for this account", required=True),
        ),
    ),
    Task(
        "get-user-roster",
        "Get User Roster",
        "roster-list",
        get_user_roster,
        "Getting a User's Roster",
        "Fill out this form to get a user's roster.",
        (accounts_field("The Jabber ID(s) for which to retrieve the roster"),),
    ),
    Task(
        "get-user-lastlogin",
        "Get User Last Login Time",
        "connected-users",
        get_user_lastlogin,
        "Getting a User's Last Login Time",
        "Fill out this form to get a user's last login time.",
        (accounts_field("The Jabber ID(s) for which to retrieve the last login time"),),
    ),
    Task(
        "user-stats",
        "Get User Statistics",
        "connected-users",
        user_stats,
        "Get User Statistics",
        "Fill out this form to gather user statistics.",
        (account_field("The Jabber ID for statistics"),),
    ),
)
