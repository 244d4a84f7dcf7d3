"""Privacy lists on their way to another server, and from one (XEP-0227, "Privacy Lists")."""

from __future__ import annotations

from collections.abc import Iterator

from stonechat.errors import JIDError, StanzaError
from stonechat.jid import JID
from stonechat.plugin import Imported
from stonechat.portable import Count
from stonechat.stanza import Element
from stonechat_privacy.commands import MAX_NAME_LENGTH, Commands
from stonechat_privacy.forms import NS_PRIVACY, list_element, read_list
from stonechat_privacy.rules import Lists
from stonechat_privacy.store import Store


class _AnyGroup:
    """The groups of a roster that may come behind the lists."""

    def __contains__(self, group: object) -> bool:
        return True


def export(store: Store, account: JID) -> Iterator[Element]:
    """All lists of an account, and which is the default."""
    lists = store.of(account.localpart)
    if not lists.by_name:
        return
    query = Element(NS_PRIVACY, "query")
    if lists.default is not None:
        query.add("default", name=lists.default)
    for name in sorted(lists.by_name):
        query.append(list_element(name, lists.by_name[name]))
    yield query


def take(
    store: Store,
    commands: Commands,
    account: JID,
    element: Element,
    *,
    max_lists: int,
    max_items: int,
    dry_run: bool,
) -> Imported | None:
    """Lists that the account has not got yet."""
    if element.qualified_name != f"{NS_PRIVACY} query":
        return None
    count = Count()
    with store.change(account.localpart) as before:
        after = before
        for child in element.find_all("list"):
            after = _with_list(after, child, count, max_lists=max_lists, max_items=max_items)
        default = element.find("default")
        if default is not None:
            after = _with_default(after, default.get("name"), count)
        for child in element.elements:
            if child.namespace != NS_PRIVACY or child.name not in ("list", "default"):
                count.lose(f"<{child.name}/> beside privacy lists")
        if after != before and not dry_run:
            commands.replace(account.localpart, before, after)
    return count.total()


def _with_list(
    lists: Lists, element: Element, count: Count, *, max_lists: int, max_items: int
) -> Lists:
    name = element.get("name")
    if not 0 < len(name) <= MAX_NAME_LENGTH:
        count.lose("a privacy list without a name, or with one that is too long")
        return lists
    try:
        rules = read_list(element, _AnyGroup(), max_items)
    except (StanzaError, JIDError) as error:
        what = str(error) if isinstance(error, StanzaError) else "An address is none."
        count.lose(f"a privacy list: {what}")
        return lists
    if not rules.items:
        return lists
    if name in lists.by_name:
        if lists.by_name[name] == rules:
            count.known += 1
        else:
            count.lose("a privacy list beside another one of that name")
        return lists
    if len(lists.by_name) >= max_lists:
        count.lose(f"a privacy list beyond the {max_lists} that there may be")
        return lists
    count.kept += 1
    return lists.with_list(name, rules)


def _with_default(lists: Lists, name: str, count: Count) -> Lists:
    if lists.default == name:
        return lists
    if lists.default is not None or name not in lists.by_name:
        count.lose("which privacy list is the default")
        return lists
    return lists._replace(default=name)
