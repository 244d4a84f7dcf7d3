"""slixmpp sees the groups of a directory, on a server that is a process of its own."""

import pytest

from stonechat.testing import until
from stonechat.testing.slapd import PASSWORD

HOST = "capulet.example"
JULIET, NURSE, ROMEO = (f"{name}@{HOST}" for name in ("juliet", "nurse", "romeo"))


@pytest.fixture
def process(stonechat_process, slapd, options_for):
    return stonechat_process(
        {
            "hosts": {HOST: {}},
            "auth": ["ldap"],
            "auth_options": {"ldap": options_for(slapd)},
            "plugins": {
                "roster": {},
                "disco": {},
                "ping": {},
                "shared_roster_ldap": {
                    "group_base": f"ou=groups,{slapd.base}",
                    "refresh": "1 s",
                },
            },
        }
    )


@pytest.fixture
def login(process, slixmpp):
    def login(jid):
        person = slixmpp.login(process, jid, password=PASSWORD)
        person.get_roster()
        person.available()
        return person

    return login


def test_a_change_in_the_directory_is_a_push(process, login, slapd):
    juliet, romeo = login(f"{JULIET}/balcony"), login(f"{ROMEO}/orchard")
    juliet.presence(ROMEO)
    romeo.presence(JULIET)
    group = f"cn=chat,ou=groups,{slapd.base}"
    member = f"uid=romeo,ou=people,{slapd.base}"
    slapd.modify(f"dn: {group}\nchangetype: modify\nadd: member\nmember: {member}\n")
    # Nobody tells the server.
    assert romeo.push(NURSE, "both")["groups"] == ["chat"]
    process.run("ldap-group-refresh")

    slapd.stop()
    until(lambda: "groups cannot be read" in process.log, "line in the log")
    assert set(romeo.get_roster()) == {JULIET, NURSE}
    slapd.start()
    slapd.modify(f"dn: {group}\nchangetype: modify\ndelete: member\nmember: {member}\n")
    romeo.push(NURSE, "remove")
    lines = [r for r in process.faults if r["event"].startswith("groups cannot be read")]
    assert len(lines) == 1
