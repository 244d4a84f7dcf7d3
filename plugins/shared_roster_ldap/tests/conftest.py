"""A directory of Verona, and hosts whose rosters know its groups."""

import pytest

from stonechat.jid import JID
from stonechat.stanza import Element
from stonechat.testing import Talk
from stonechat.testing.slapd import PASSWORD, VERONA

NS_ROSTER = "jabber:iq:roster"
HOST = "capulet.example"


class RosterTalk(Talk):
    """Short forms for conversations about rosters."""

    def roster(self, client):
        """The roster as {localpart: (subscription, name, groups)}."""
        answer = client.get(Element(NS_ROSTER, "query"))
        return dict(map(self.item, answer.payload.elements))

    def version(self, client):
        return client.get(Element(NS_ROSTER, "query")).payload.get("ver")

    def item(self, element):
        return (
            JID.parse(element.get("jid")).localpart,
            (
                element.get("subscription"),
                element.get("name"),
                sorted(group.text for group in element.find_all("group")),
            ),
        )

    def pushed(self, client):
        """What was pushed, as the roster; the rest is dropped."""
        return dict(
            self.item(item) for query in self.pushed_payloads(client) for item in query.elements
        )


@pytest.fixture
def talk():
    return RosterTalk()


def _options_for(slapd):
    return {
        "servers": [slapd.url],
        "encryption": "none",
        "base": f"ou=people,{slapd.base}",
    }


@pytest.fixture
def options_for():
    return _options_for


@pytest.fixture(scope="module")
def verona(slapds):
    """A directory that no test changes."""
    with slapds(VERONA) as slapd:
        yield slapd


@pytest.fixture
def slapd(slapds):
    """One that a test may do with what it likes."""
    with slapds(VERONA) as slapd:
        yield slapd


@pytest.fixture
def capulet(server):
    """Makes the host: its accounts are in the directory, and so are their groups."""

    def make(slapd, **options):
        server.configure(auth=["ldap"], auth_options={"ldap": _options_for(slapd)})
        options.setdefault("group_base", f"ou=groups,{slapd.base}")
        host = server.host(HOST, roster={}, shared_roster_ldap=options)
        # The groups are read beside.
        server.settle()
        return host

    return make


@pytest.fixture
def login():
    def login(host, name, resource="balcony"):
        return host.connect(f"{name}@{HOST}/{resource}", PASSWORD)

    return login
