"""Accounts in a directory: the contract of every backend, and what is this one's own."""

from base64 import b64encode

import pytest
from gevent.event import Event
from pydantic import ValidationError

from stonechat.auth import AuthUnavailable, BadPassword, Unsupported
from stonechat.testing import AuthBackendContract, until
from stonechat.testing.process import free_port
from stonechat.testing.slapd import PASSWORD, VERONA
from stonechat_auth_ldap import Options

OTHER = "Wherefore art thou?"


class TestLookedUp(AuthBackendContract):
    password = PASSWORD

    @pytest.fixture
    def backend(self, make, verona):
        return make(verona, filter="(sn=Capulet)")


class TestNotLookedUp(AuthBackendContract):
    password = PASSWORD

    @pytest.fixture
    def backend(self, make, verona):
        backend = make(verona, user_dn=f"uid=%u,ou=people,{verona.base}", filter="(sn=Capulet)")
        # Before, nobody could tell that there is such an account.
        assert backend.check_password("juliet", PASSWORD)
        return backend


class TestWithPasswordsThatCanBeChanged(AuthBackendContract):
    password = PASSWORD

    @pytest.fixture(scope="class")
    @classmethod
    def changed(cls, slapds):
        with slapds(VERONA) as slapd:
            yield slapd

    @pytest.fixture
    def backend(self, make, changed):
        backend = make(changed, bind_dn=changed.admin, filter="(sn=Capulet)", password_change=True)
        yield backend
        backend.set_password("juliet", PASSWORD)


def given(text):
    """Octets of LDIF that need base64."""
    return b64encode(text.encode()).decode()


def add_person(slapd, uid, rdn="", **more):
    lines = "".join(f"{name}: {value}\n" for name, value in more.items())
    slapd.add(
        f"dn: {rdn or f'uid={uid}'},ou=people,{slapd.base}\nobjectClass: user\n"
        f"uid:: {given(uid)}\ncn: somebody\nsn: Somebody\nuserPassword: {PASSWORD}\n{lines}"
    )


# Who is who


def test_case_makes_no_difference_to_the_directory_nor_to_us(make, verona):
    backend = make(verona)
    assert backend.user_exists("juliet")
    assert backend.users() == ["juliet", "nurse", "romeo"]


def test_names_may_be_written_in_several_attributes_and_ways(make, verona):
    backend = make(verona, uids=["cn", {"mail": "%u@mail.%d"}])
    assert backend.check_password("juliet", PASSWORD)
    assert backend.check_password("angelica", PASSWORD)
    assert backend.users() == ["angelica", "juliet", "romeo"]
    assert not make(verona, uids=[{"mail": "%u@elsewhere.example"}]).user_exists("juliet")


def test_names_of_active_directory_are_names_too(make, slapd):
    add_person(slapd, "x1", sAMAccountName="Tybalt", userPrincipalName="ty@corp.capulet.example")
    assert make(slapd, uids=["sAMAccountName"]).check_password("tybalt", PASSWORD)
    backend = make(slapd, uids=[{"userPrincipalName": "%u@corp.%d"}])
    assert backend.check_password("ty", PASSWORD)
    assert backend.users() == ["ty"]


def test_an_entry_has_to_fit_the_filter(make, verona):
    backend = make(verona, filter="(sn=Montague)")
    assert not backend.user_exists("juliet")
    assert not backend.check_password("juliet", PASSWORD)
    assert backend.check_password("romeo", PASSWORD)
    assert backend.count_users() == 1


def test_a_second_look_finds_the_group_that_lets_in(make, verona):
    backend = make(
        verona, dn_filter="(&(cn=chat)(member=%D))", dn_filter_base=f"ou=groups,{verona.base}"
    )
    assert backend.check_password("nurse", PASSWORD)
    assert not backend.check_password("romeo", PASSWORD)
    assert not backend.user_exists("romeo")
    by_name = make(verona, dn_filter="(memberUid=%u)", dn_filter_base=verona.base)
    assert [by_name.user_exists(name) for name in ("juliet", "nurse", "romeo")] == [
        True,
        False,
        True,
    ]


def test_a_group_lets_in_by_what_the_entry_says_of_it(make, slapd):
    # As Active Directory has it by itself, and OpenLDAP by an overlay.
    group = f"cn=lovers,ou=people,{slapd.base}"
    slapd.add(
        f"dn: {group}\nobjectClass: groupOfNames\ncn: lovers\n"
        f"member: uid=romeo,ou=people,{slapd.base}\n"
    )
    backend = make(slapd, filter=f"(memberOf={group})")
    assert backend.check_password("romeo", PASSWORD)
    assert not backend.check_password("juliet", PASSWORD)


def test_two_entries_of_one_name_are_nobody(server, make, slapd):
    add_person(slapd, "romeo", rdn="cn=somebody")
    backend = make(slapd)
    assert not backend.check_password("romeo", PASSWORD)
    assert not backend.user_exists("romeo")
    (record, *_) = server.logged("several entries are one account, which cannot be used")
    assert record["account"] == "romeo"
    assert len(record["entries"]) == 2


@pytest.mark.parametrize(
    ("there", "asked"), [("\ufb01delio", "fidelio"), (" mercutio", "mercutio")]
)
def test_who_is_only_much_like_another_does_not_become_him(make, slapd, there, asked):
    # The directory folds what looks alike (RFC 4518), and says that it has found him.
    add_person(slapd, there, rdn="cn=somebody")
    backend = make(slapd)
    assert len(backend.directory.search(f"(uid={asked})", ["uid"], limit=5)) == 1
    assert not backend.user_exists(asked)
    assert not backend.check_password(asked, PASSWORD)


def test_people_who_can_have_no_address_are_not_listed(make, slapd):
    add_person(slapd, "with a space", rdn="cn=somebody")
    backend = make(slapd)
    assert backend.users() == ["juliet", "nurse", "romeo"]
    assert backend.count_users() == 3


def test_pages_of_accounts_are_of_one_list(make, slapd):
    slapd.stop()
    slapd.load(
        "\n".join(
            f"dn: uid=servant{n:03},ou=people,{slapd.base}\nobjectClass: account\n"
            f"uid: servant{n:03}\n"
            for n in range(250)
        )
    )
    slapd.start()
    backend = make(slapd)
    first = backend.users("", 100)
    slapd.modify(f"dn: uid=romeo,ou=people,{slapd.base}\nchangetype: delete\n")
    second = backend.users(first[-1], 1000)
    assert len(first + second) == 253
    assert first + second == sorted(first + second)
    assert backend.users(second[-1]) == []
    assert len(backend.users()) == 252


def test_a_directory_that_shows_not_everybody_is_told_of(server, make, slapd):
    slapd.stop()
    slapd.load(
        "\n".join(
            f"dn: uid=servant{n:03},ou=people,{slapd.base}\nobjectClass: account\n"
            f"uid: servant{n:03}\n"
            for n in range(600)
        )
    )
    slapd.start()
    # So many slapd shows to strangers, and all to its administrator.
    assert make(slapd).count_users() == 500
    assert len(server.logged("the directory does not show all entries")) == 1
    backend = make(slapd, bind_dn=slapd.admin)
    assert backend.count_users() == 603
    # It is not counted again for each who asks.
    slapd.stop()
    assert backend.count_users() == 603


def test_a_list_that_takes_too_long_is_there_for_who_asks_again(make, verona, monkeypatch):
    monkeypatch.setattr("stonechat_auth_ldap.listing.WAIT_SECONDS", 0)
    backend = make(verona)
    pages = backend.directory.pages
    go_on = Event()

    def slow(*arguments):
        go_on.wait()
        yield from pages(*arguments)

    monkeypatch.setattr(backend.directory, "pages", slow)
    for _ in range(2):
        with pytest.raises(AuthUnavailable, match="still being listed"):
            backend.users()
    go_on.set()
    until(lambda: backend._listing._listed_at, "list")
    assert backend.users() == ["juliet", "nurse", "romeo"]


def test_accounts_are_listed_over_a_connection_that_has_died(server, make, slapd):
    backend = make(slapd)
    assert backend.user_exists("juliet")
    (connection,) = backend.directory._lookups._idle
    slapd.stop()
    slapd.start()
    # As if it were not to be seen yet.
    backend.directory._lookups._idle[:] = [Undead(connection)]
    assert len(backend.users()) == 3
    assert not server.logged("directory server fails")


class Undead:
    """A connection that looks alive."""

    is_alive = True

    def __init__(self, connection):
        self._connection = connection

    def __getattr__(self, name):
        return getattr(self._connection, name)


# Strangers write what they like


@pytest.mark.parametrize(
    "name",
    [
        "*)(uid=*",
        "*",
        "juliet)(|(uid=*",
        "juliet\x00",
        "juliet\\",
        "\\2a",
        "jul\\69et",
        ")(",
        "жульета)(cn=*",
        "%u",
        "juliet,ou=people",
    ],
)
@pytest.mark.parametrize("direct", [False, True])
def test_no_name_is_taken_for_a_filter(make, verona, name, direct):
    options = {"user_dn": f"uid=%u,ou=people,{verona.base}"} if direct else {}
    backend = make(verona, uids=["uid", {"mail": "%u@mail.capulet.example"}], **options)
    assert backend.check_password(name, PASSWORD) is False
    if not direct:
        assert backend.user_exists(name) is False


ODD_NAMES = ["a*b", "a(b)c", "a\\b", "a\\2ab", "ромео", "a,b", "a+b", "#a", "a;b=c"]


@pytest.fixture(scope="module")
def odd(slapds):
    """A directory of people with odd names, who are called so in their place, too."""
    with slapds(VERONA) as slapd:
        for name in ODD_NAMES:
            escaped = "".join(f"\\{octet:02x}" for octet in name.encode())
            add_person(slapd, name, rdn=f"uid={escaped}")
        yield slapd


@pytest.mark.parametrize("direct", [False, True])
def test_odd_names_are_names_all_the_same(make, odd, direct):
    backend = make(odd, **({"user_dn": f"uid=%u,ou=people,{odd.base}"} if direct else {}))
    for name in ODD_NAMES:
        assert backend.check_password(name, PASSWORD)
        assert not backend.check_password(name, OTHER)
        assert direct or backend.user_exists(name)
    # What is escaped in one place is none in another.
    for name in ("romeo,ou=people", "a", "a*", "a\\2cb"):
        assert not backend.check_password(name, PASSWORD)


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("empty", ["", "\0", "\0secret"])
def test_an_empty_password_never_reaches_the_directory(make, verona, empty, direct):
    # RFC 4513, 5.1.2: it would be the bind of nobody, which succeeds.
    options = {"user_dn": f"uid=%u,ou=people,{verona.base}"} if direct else {}
    backend = make(verona, servers=[f"ldap://localhost:{free_port()}"], **options)
    with pytest.raises(AuthUnavailable):
        backend.check_password("juliet", PASSWORD)
    assert backend.check_password("juliet", empty) is False


def test_a_name_that_is_no_distinguished_name_is_used_as_it_is(make, slapd):
    # slapd knows no such names; what counts is that nothing is made of ours.
    backend = make(slapd, user_dn="%u@corp.capulet.example")
    assert not backend.check_password("juliet", PASSWORD)
    slapd.stop()
    assert backend.check_password("cn=admin,dc=capulet", PASSWORD) is False


def test_who_is_not_looked_up_is_who_he_says_he_is(make, slapd):
    # The entry that opens has to be the account's own, by the attribute that counts.
    add_person(slapd, "tybalt", sAMAccountName="prince")
    backend = make(
        slapd, user_dn=f"uid=%u,ou=people,{slapd.base}", uids=["sAMAccountName"], deref="never"
    )
    assert not backend.check_password("tybalt", PASSWORD)
    assert not backend.user_exists("tybalt")


def test_who_cannot_be_looked_up_exists_once_he_was_here(make, slapd):
    backend = make(slapd, user_dn=f"uid=%u,ou=people,{slapd.base}")
    assert not backend.user_exists("romeo")
    assert not backend.check_password("romeo", OTHER)
    assert not backend.user_exists("romeo")
    assert backend.check_password("romeo", PASSWORD)
    # Whoever is there by then need not ask the directory.
    slapd.stop()
    assert backend.user_exists("romeo")
    assert (backend.users(), backend.count_users()) == (["romeo"], 1)
    assert not backend.user_exists("juliet")
    looked_up = make(slapd, user_dn="uid=%u,ou=people", bind_dn=slapd.admin)
    with pytest.raises(AuthUnavailable):
        looked_up.user_exists("romeo")


# Passwords


def test_passwords_go_as_they_are(make, slapd):
    # Other programs that set them know no SASLprep: a superscript two stays one.
    backend = make(slapd, bind_dn=slapd.admin, password_change=True)
    for password in ("x\u00b2", "\ufb01x", " y ", "ж" * 100):
        backend.set_password("juliet", password)
        assert backend.check_password("juliet", password)
    assert not backend.check_password("juliet", "x2")


def test_passwords_cannot_be_changed_unless_told_so(make, verona):
    backend = make(verona, bind_dn=verona.admin)
    assert "set_password" not in backend.capabilities
    with pytest.raises(Unsupported):
        backend.set_password("juliet", OTHER)


def test_the_directory_may_refuse_a_change(server, make, slapd):
    server.expect_errors()
    add_person(slapd, "servant")
    (slapd.directory / "servant").write_text(PASSWORD)
    backend = make(
        slapd,
        bind_dn=f"uid=servant,ou=people,{slapd.base}",
        password_file=str(slapd.directory / "servant"),
        password_change=True,
    )
    with pytest.raises(Unsupported):
        backend.set_password("juliet", OTHER)
    assert backend.check_password("juliet", PASSWORD)
    (record,) = server.logged("the directory lets no password be set")
    assert "insufficientAccessRights" in record["reason"]
    assert OTHER not in str(server.logged())


@pytest.mark.parametrize("bad", ["", "a\0b", "\ud800"])
def test_what_can_be_no_password_is_not_set(make, verona, bad):
    backend = make(verona, bind_dn=verona.admin, password_change=True)
    with pytest.raises(BadPassword):
        backend.set_password("juliet", bad)


def test_a_changed_password_is_not_remembered(make, slapd):
    backend = make(slapd, bind_dn=slapd.admin, password_change=True, cache_password="1 h")
    assert backend.check_password("juliet", PASSWORD)
    backend.set_password("juliet", OTHER)
    assert not backend.check_password("juliet", PASSWORD)
    assert backend.check_password("juliet", OTHER)


# What is remembered


def test_existence_is_remembered_for_as_long_as_told(server, make, slapd):
    backend = make(slapd)
    assert backend.user_exists("romeo")
    assert not backend.user_exists("tybalt")
    slapd.modify(f"dn: uid=romeo,ou=people,{slapd.base}\nchangetype: delete\n")
    add_person(slapd, "tybalt")
    assert backend.user_exists("romeo")
    assert not backend.user_exists("tybalt")
    server.clock.advance(11)
    assert backend.user_exists("tybalt")
    server.clock.advance(50)
    assert not backend.user_exists("romeo")
    assert backend.cache.figures.hits == 2


def test_a_password_is_remembered_only_where_told_so(make, slapd):
    forgetful, other = make(slapd), make(slapd, cache_password="1 h")
    for backend in (forgetful, other):
        assert backend.check_password("juliet", PASSWORD)
    slapd.stop()
    with pytest.raises(AuthUnavailable):
        forgetful.check_password("juliet", PASSWORD)
    assert other.check_password("juliet", PASSWORD)
    with pytest.raises(AuthUnavailable):
        other.check_password("juliet", OTHER)


# Slips of administrators


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"servers": []}, "servers"),
        ({"servers": ["http://ldap.capulet.example"]}, "must be a server such as"),
        ({"servers": ["ldap://ldap.capulet.example:99999"]}, "no port"),
        ({"encryption": "ldaps", "servers": ["ldap://x"]}, "contradicts"),
        ({"base": "capulet"}, "must be a name such as"),
        ({"uids": []}, "list of attributes"),
        ({"uids": ["u d"]}, "name of an attribute"),
        ({"uids": [{"mail": "u@x"}]}, "must have %u in it, once"),
        ({"filter": "sn=Capulet"}, "must be a filter such as"),
        ({"filter": "(sn=Capulet"}, "must be a filter such as"),
        ({"dn_filter": "(&)("}, "must be a filter such as"),
        ({"user_dn": "uid=juliet"}, "must have %u in it, once"),
        ({"bind_dn": "cn=admin"}, "go together"),
        ({"password_change": True}, "needs bind_dn"),
        ({"timeout": "1 min"}, "timeout"),
    ],
)
def test_a_slip_is_told_at_the_start(options, fault):
    usual = {"servers": ["ldap.capulet.example"], "base": "dc=capulet,dc=example"}
    with pytest.raises(ValidationError, match=fault):
        Options(**usual | options)


def test_servers_are_named_in_any_usual_way():
    options = Options(
        servers=["a.example", "ldap://b.example:1389/", "ldaps://c.example", "[::1]:3389"],
        base="dc=x",
    )
    assert [(server.url, server.encryption) for server in options.parsed_servers()] == [
        ("ldap://a.example:389", "starttls"),
        ("ldap://b.example:1389", "starttls"),
        ("ldaps://c.example:636", "ldaps"),
        ("ldap://[::1]:3389", "starttls"),
    ]


def test_a_base_that_is_not_there_is_no_answer_about_anybody(make, verona):
    backend = make(verona, base="ou=nowhere,dc=capulet,dc=example")
    with pytest.raises(AuthUnavailable, match="noSuchObject"):
        backend.user_exists("juliet")
    with pytest.raises(AuthUnavailable, match="noSuchObject"):
        backend.users()


def test_a_wrong_password_of_who_looks_up_is_told(server, make, verona, tmp_path):
    (tmp_path / "wrong").write_text("Montague")
    backend = make(verona, bind_dn=verona.admin, password_file=str(tmp_path / "wrong"))
    for _ in range(2):
        with pytest.raises(AuthUnavailable, match="does not let cn=admin"):
            backend.check_password("juliet", PASSWORD)
    (record,) = server.logged("directory server fails")
    assert "invalidCredentials" in record["reason"]
    assert "Montague" not in str(server.logged())
