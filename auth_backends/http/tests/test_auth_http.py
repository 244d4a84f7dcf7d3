"""A web application's accounts: its answers, its faults, and what is remembered of it."""

from select import select

import gevent
import pytest

from stonechat.auth import AuthUnavailable, BadPassword
from stonechat.errors import ConfigError
from stonechat.net.certificates import write_self_signed
from stonechat.testing import AuthBackendContract, until
from stonechat_auth_http import Backend, Options

PASSWORD = "R0m30 & Juliet"
ALL = (
    *("check_password", "user_exists", "set_password", "create_user", "remove_user"),
    *("users", "count_users"),
)


class Bystander:
    """A plugin that lends its host, as any third party has one."""

    def __init__(self, host, options):
        self.host = host


@pytest.fixture
def host(server):
    host = server.host("capulet.example", plugin_classes={"bystander": Bystander})
    return host.plugin("bystander").host


@pytest.fixture
def make(host, secret_file):
    backends = []

    def make(url, **options):
        # Only who wants to know of it lets answers be remembered.
        usual = {"cache_existence": 0, "cache_absence": 0, "secret_file": secret_file}
        backend = Backend(host, Options(url=url, **usual | options))
        backends.append(backend)
        backend.start()
        return backend

    yield make
    for backend in backends:
        backend.stop()


class TestHttp(AuthBackendContract):
    @pytest.fixture
    def backend(self, make, shared_application):
        backend = make(shared_application.url, operations=ALL)
        for name in backend.users():
            backend.remove_user(name)
        return backend


def figures(backend):
    """What the application has counted, this request included."""
    return backend._client.post("figures", {"host": "capulet.example"}, again=True)


# What it can do


def test_it_can_do_what_the_application_is_said_to_do(make, application):
    process = application(juliet=PASSWORD)
    backend = make(process.url)
    assert backend.capabilities == {"check_password", "user_exists"}
    assert make(process.url, operations=["check_password"]).capabilities == {"check_password"}
    assert make(process.url, operations=ALL).capabilities == set(ALL)
    assert backend.check_password("juliet", PASSWORD)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://127.0.0.1/", "127.0.0.1", "", "https://", "http://www.example.org/xmpp"),
        *("https://user:x@www.example.org", "https://www.example.org/?x=1", "http://[::1"),
        *("https://www.example.org/\r\nX: y", "https://www.example.org:99999/", "http://10.0.0.1"),
        *("https://www.example.org/a b", "https://www.example.org/#x", "http://localhost.evil"),
    ],
)
def test_an_address_that_passwords_should_not_go_to_stops_the_start(host, url):
    with pytest.raises(ConfigError, match=r"auth_options\.http\.url"):
        Backend(host, Options(url=url)).start()


@pytest.mark.parametrize(
    "url",
    ["https://www.example.org", "http://localhost:8080/x/", "http://[::1]/", "http://127.1.2.3"],
)
def test_an_address_with_tls_or_on_this_machine_is_good(make, url):
    assert make(url)


# Answers that are none


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("goes", "closed"),
        ("cuts", "half an answer"),
        ("huge", "more than 1048576 octets"),
        ("deep", "not JSON"),
        ("text", "no JSON object"),
        ("list", "no JSON object"),
        ("no-result", "no result"),
        ("one", "no result"),
        ("yes", "no result"),
        ("packed", "packed"),
        ("redirects", "status 307"),
        ("moved", "status 301"),
        ("s204", "status 204"),
        ("s403", "status 403"),
        ("s404", "status 404"),
        ("s429", "status 429"),
        ("s500", "status 500"),
        ("s503", "status 503"),
        ("many-headers", "headers"),
        ("long-header", "line"),
    ],
)
def test_an_answer_that_is_none_is_neither_yes_nor_no(make, shared_application, user, reason):
    backend = make(shared_application.url)
    with pytest.raises(AuthUnavailable, match=reason):
        backend.check_password(user, PASSWORD)
    with pytest.raises(AuthUnavailable, match=reason):
        backend.user_exists(user)
    assert not backend.check_password("rosaline", PASSWORD)


def test_an_application_that_does_not_know_us_does_not_say_that_passwords_are_wrong(
    make, application, tmp_path
):
    other = tmp_path / "other"
    other.write_text("another secret")
    backend = make(application(juliet=PASSWORD).url, secret_file=other)
    with pytest.raises(AuthUnavailable, match="status 401"):
        backend.check_password("juliet", "wrong")


def test_answers_to_changes_and_lists_are_looked_at(make, application):
    backend = make(application(juliet=PASSWORD).url, operations=ALL)
    with pytest.raises(BadPassword):
        backend.set_password("juliet", "guessed")
    with pytest.raises(BadPassword):
        backend.set_password("juliet", "\ud800")
    for change in (backend.set_password, backend.create_user):
        with pytest.raises(AuthUnavailable, match="a refusal without a reason"):
            change("no-reason", PASSWORD)
    with pytest.raises(AuthUnavailable, match="a refusal without a reason"):
        backend.remove_user("no-reason")


class Answering:
    """In the place of the client: it says what it was told to."""

    def __init__(self, answer):
        self.answer = answer

    def post(self, path, question, *, again):
        return self.answer

    def close(self):
        pass


@pytest.mark.parametrize(
    "found",
    [None, {}, "ab", [7], ["Juliet"], [""], ["a b"], ["b", "a"], ["a", "a"], ["a", "b", "c"]],
)
def test_a_list_of_users_that_is_none_is_refused(make, found):
    backend = make("http://127.0.0.1:1/", operations=ALL)
    backend._client = Answering({"users": found})
    with pytest.raises(AuthUnavailable):
        backend.users(limit=2)


def test_a_list_that_goes_in_circles_is_refused(make):
    backend = make("http://127.0.0.1:1/", operations=ALL)
    backend._client = Answering({"users": ["a", "b"]})
    assert backend.users() == ["a", "b"]
    with pytest.raises(AuthUnavailable):
        backend.users(after="b")


@pytest.mark.parametrize("count", [None, "7", 7.5, -1, True, [7]])
def test_a_count_that_is_none_is_refused(make, count):
    backend = make("http://127.0.0.1:1/", operations=ALL)
    backend._client = Answering({"count": count})
    with pytest.raises(AuthUnavailable):
        backend.count_users()


# Slow, and gone


def test_an_application_that_hangs_or_drips_is_waited_for_so_long_and_others_go_on(
    make, application
):
    backend = make(application(juliet=PASSWORD).url, timeout=0.5, connections=3)
    answers = []

    def check(name):
        try:
            answers.append(backend.check_password(name, PASSWORD))
        except AuthUnavailable:
            answers.append(name)

    checks = [gevent.spawn(check, name) for name in ("hangs", "drips", "juliet", "juliet")]
    gevent.joinall(checks, timeout=20)
    assert answers[:2] == [True, True]
    assert sorted(answers[2:]) == ["drips", "hangs"]
    # With as many connections as before.
    assert backend.check_password("juliet", PASSWORD)


def test_a_deadline_of_the_kernel_leaves_no_half_answer_behind(make, application):
    backend = make(application(juliet=PASSWORD).url, connections=1)
    assert backend.check_password("juliet", PASSWORD)
    with gevent.Timeout(0.5, False):
        backend.check_password("drips", PASSWORD)
    assert not backend.check_password("juliet", "wrong")
    assert backend.check_password("juliet", PASSWORD)


def test_while_the_application_is_away_nobody_can_tell_and_then_it_is_back(make, application):
    process = application(juliet=PASSWORD)
    backend = make(process.url)
    assert backend.check_password("juliet", PASSWORD)
    with pytest.raises(AuthUnavailable):
        backend.check_password("dies", PASSWORD)
    with pytest.raises(AuthUnavailable, match="refused"):
        backend.check_password("juliet", PASSWORD)
    process.stop()
    process.start()
    assert backend.check_password("juliet", PASSWORD)


# Connections


def test_a_connection_is_used_again(make, application):
    backend = make(application(juliet=PASSWORD).url)
    for _ in range(5):
        assert backend.check_password("juliet", PASSWORD)
    assert figures(backend) == {"connections": 1, "requests": 6}


def test_there_are_no_more_connections_than_may_be(make, application):
    backend = make(application(juliet=PASSWORD).url, connections=2)
    checks = [gevent.spawn(backend.check_password, "juliet", PASSWORD) for _ in range(20)]
    gevent.joinall(checks, timeout=20)
    assert all(check.value for check in checks)
    assert figures(backend) == {"connections": 2, "requests": 21}


def test_a_connection_that_has_been_idle_for_long_is_not_used_again(server, make, application):
    backend = make(application(juliet=PASSWORD).url)
    assert backend.check_password("juliet", PASSWORD)
    server.clock.advance(10)
    assert backend.check_password("juliet", PASSWORD)
    assert figures(backend)["connections"] == 2


def test_a_connection_that_the_application_has_closed_is_replaced_unnoticed(make, application):
    backend = make(application(juliet=PASSWORD).url)
    for _ in range(5):
        assert backend.check_password("answers-and-goes", PASSWORD)
    assert backend.check_password("juliet", PASSWORD)


def test_an_answer_too_many_is_not_taken_for_the_next_one(make, application):
    backend = make(application(juliet=PASSWORD).url)
    assert not backend.check_password("answers-twice", PASSWORD)
    ((connection, _),) = backend._client._idle
    until(lambda: select([connection.sock], [], [], 0)[0], "another answer")
    assert not backend.check_password("juliet", "wrong")


def test_only_what_may_be_done_twice_is_asked_again(make, application):
    process = application(juliet=PASSWORD)
    backend = make(process.url, operations=ALL)
    with pytest.raises(AuthUnavailable):
        backend.check_password("goes", PASSWORD)  # a first one, not tried again
    assert backend.check_password("juliet", PASSWORD)
    before = figures(backend)["requests"]
    with pytest.raises(AuthUnavailable):
        backend.create_user("goes", PASSWORD)
    assert figures(backend)["requests"] == before + 2
    assert backend.check_password("juliet", PASSWORD)
    before = figures(backend)["requests"]
    with pytest.raises(AuthUnavailable):
        backend.check_password("goes", PASSWORD)  # on a kept one, and then on a new one
    assert figures(backend)["requests"] == before + 3


# TLS


@pytest.fixture
def certificate(tmp_path):
    def make(name):
        chain, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        write_self_signed([name], chain, key)
        return chain, key

    return make


def test_over_tls_the_application_is_known_by_its_certificate(make, application, certificate):
    chain, key = certificate("localhost")
    process = application((chain, key), juliet=PASSWORD)
    backend = make(process.url, ca_file=chain)
    assert backend.check_password("juliet", PASSWORD)
    assert backend.check_password("juliet", PASSWORD)
    assert figures(backend)["connections"] == 1
    with pytest.raises(AuthUnavailable, match="certificate verify failed"):
        make(process.url).check_password("juliet", PASSWORD)


def test_the_certificate_of_another_name_is_refused(make, application, certificate):
    chain, key = certificate("www.example.org")
    backend = make(application((chain, key), juliet=PASSWORD).url, ca_file=chain)
    with pytest.raises(AuthUnavailable, match="certificate verify failed"):
        backend.check_password("juliet", PASSWORD)


def test_what_is_no_certificate_stops_the_start(make, tmp_path):
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    with pytest.raises(ConfigError, match="ca_file"):
        make("https://www.example.org/", ca_file=rubbish)


# What is remembered


def test_answers_are_remembered_for_as_long_as_is_said(server, make, application):
    backend = make(
        application(juliet=PASSWORD).url,
        cache_existence="1 min",
        cache_absence="10 s",
        cache_password="30 s",
    )

    def requests():
        return figures(backend)["requests"]

    begun = requests()
    for _ in range(3):
        assert backend.user_exists("juliet")
        assert not backend.user_exists("rosaline")
        assert backend.check_password("juliet", PASSWORD)
    assert requests() == begun + 3 + 1
    for _ in range(2):
        assert not backend.check_password("juliet", "wrong")
    assert requests() == begun + 4 + 3
    server.clock.advance(61)
    assert backend.user_exists("juliet")
    assert backend.check_password("juliet", PASSWORD)
    assert requests() == begun + 7 + 3
    assert backend.cache.figures.hits


def test_passwords_are_not_remembered_unless_it_is_said(make, application):
    backend = make(application(juliet=PASSWORD).url)
    for _ in range(3):
        assert backend.check_password("juliet", PASSWORD)
    assert figures(backend)["requests"] == 4


def test_a_change_through_us_is_seen_at_once(make, application):
    backend = make(
        application(juliet=PASSWORD).url,
        operations=ALL,
        cache_existence="1 h",
        cache_absence="1 h",
        cache_password="1 h",
    )
    assert backend.check_password("juliet", PASSWORD)
    backend.set_password("juliet", "another")
    assert not backend.check_password("juliet", PASSWORD)
    assert not backend.user_exists("romeo")
    backend.create_user("romeo", PASSWORD)
    assert backend.user_exists("romeo")
    backend.remove_user("romeo")
    assert not backend.user_exists("romeo")


# In a server


def test_it_stands_beside_other_backends(server, application, secret_file):
    process = application(juliet=PASSWORD)
    server.configure(
        auth=["testing", "http"],
        auth_options={"http": {"url": process.url, "secret_file": str(secret_file)}},
    )
    host = server.host("capulet.example")
    host.connect("romeo@capulet.example/orchard", "R0m30")
    assert host.open_stream(tls=True).authenticate("juliet", PASSWORD).name == "success"
    process.stop()
    host.connect("romeo@capulet.example/street", "R0m30")
    refused = host.open_stream(tls=True).authenticate("juliet", PASSWORD)
    assert refused.find("temporary-auth-failure") is not None


def test_a_secret_is_in_no_log(server, make, application):
    backend = make(application(juliet=PASSWORD).url)
    with pytest.raises(AuthUnavailable) as refusal:
        backend.check_password("s500", "a password of mine")
    assert "a password of mine" not in repr(refusal.value) + str(server.logged())
    assert "a secret between" not in repr(backend.options) + repr(vars(backend))
