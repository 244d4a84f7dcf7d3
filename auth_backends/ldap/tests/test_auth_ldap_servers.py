"""Servers of a directory: encrypted or not, dead, hanging, and back again."""

import socket
from threading import Thread

import gevent
import pytest

from stonechat.auth import AuthUnavailable
from stonechat.testing.process import free_port
from stonechat.testing.slapd import PASSWORD, VERONA
from stonechat_auth_ldap import Backend, Options
from stonechat_ldap.entry import LdapUnavailable, NoServer, Refused
from stonechat_ldap.outage import Outage
from stonechat_ldap.pool import MAX_WAITING, Pool
from stonechat_ldap.servers import Server, Servers


def reasons(server):
    return [record["reason"] for record in server.logged("directory server fails")]


# Encryption


@pytest.mark.parametrize("where", ["url", "tls_url", "address_url"])
def test_a_server_that_proves_its_name_is_spoken_to(make, verona, where):
    backend = make(
        verona,
        servers=[getattr(verona, where)],
        encryption="starttls",
        ca_file=str(verona.ca_file),
    )
    assert backend.check_password("juliet", PASSWORD)
    assert not backend.check_password("juliet", "Montague")


@pytest.mark.parametrize("where", ["other_url", "other_tls_url"])
def test_a_certificate_for_another_name_is_refused(server, make, verona, where):
    backend = make(
        verona,
        servers=[getattr(verona, where)],
        encryption="starttls",
        ca_file=str(verona.ca_file),
    )
    with pytest.raises(AuthUnavailable):
        backend.check_password("juliet", PASSWORD)
    (reason,) = reasons(server)
    assert "certificate is not trusted" in reason
    assert "127.0.0.2" in reason


@pytest.mark.parametrize("where", ["url", "tls_url"])
def test_a_certificate_of_an_unknown_authority_is_refused(server, make, verona, where):
    backend = make(verona, servers=[getattr(verona, where)], encryption="starttls")
    with pytest.raises(AuthUnavailable):
        backend.check_password("juliet", PASSWORD)
    (reason,) = reasons(server)
    assert "certificate is not trusted" in reason


def test_whoever_does_not_verify_is_warned(server, make, verona):
    backend = make(verona, servers=[verona.other_tls_url], encryption="starttls", verify=False)
    assert backend.check_password("juliet", PASSWORD)
    assert server.logged("certificates of directory servers are not verified")


def test_no_password_goes_to_a_server_that_cannot_encrypt(make, slapd):
    slapd.stop()
    file = slapd.directory / "slapd.conf"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("TLS")]
    file.write_text("\n".join(lines) + "\n")
    slapd.start()
    backend = make(slapd, encryption="starttls", verify=False)
    with pytest.raises(AuthUnavailable):
        backend.check_password("juliet", PASSWORD)
    assert make(slapd).check_password("juliet", PASSWORD)


# One that fails


def test_the_next_server_is_asked_where_one_is_dead(server, make, verona):
    dead = f"ldap://localhost:{free_port()}"
    backend = make(verona, servers=[dead, verona.url])
    assert backend.check_password("juliet", PASSWORD)
    assert backend.user_exists("romeo")
    assert len(reasons(server)) == 1


def test_a_server_that_failed_is_left_alone_for_a_while(server, make, slapds, verona):
    with slapds(VERONA) as first:
        backend = make(verona, servers=[first.url, verona.url], leave_alone="30 s")
        assert backend.check_password("juliet", PASSWORD)
        first.stop()
        assert backend.check_password("juliet", PASSWORD)
        first.start()
        assert backend.check_password("juliet", PASSWORD)
        assert not server.logged("directory server answers again")
        # So long nobody used the connections to the second one that they are closed, too.
        server.clock.advance(61)
        assert backend.check_password("juliet", PASSWORD)
        (record,) = server.logged("directory server answers again")
        assert record["server"] == first.url


def test_a_connection_that_has_died_is_not_an_answer(server, make, slapd):
    backend = make(slapd)
    assert backend.check_password("juliet", PASSWORD)
    assert backend.directory.open_connections == 2
    slapd.stop()
    slapd.start()
    assert backend.check_password("juliet", PASSWORD)
    assert reasons(server) == []


def test_while_nobody_answers_nobody_waits(server, make, slapd):
    backend = make(slapd)
    slapd.stop()
    with pytest.raises(AuthUnavailable):
        backend.check_password("juliet", PASSWORD)
    slapd.start()
    # Nobody looks within a second.
    with pytest.raises(AuthUnavailable):
        backend.user_exists("juliet")
    server.clock.advance(1.1)
    assert backend.user_exists("juliet")
    assert len(reasons(server)) == 1
    assert len(server.logged("directory server answers again")) == 1


def test_a_server_that_hangs_is_given_up_and_the_next_one_asked(server, make, slapds, verona):
    with slapds(VERONA) as first:
        backend = make(verona, servers=[first.url, verona.url], timeout="1 s")
        assert backend.check_password("juliet", PASSWORD)
        first.pause()
        assert backend.check_password("juliet", PASSWORD)
        assert "timed out" in reasons(server)[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
        b"\x30\x03\x02\x01\x01",
        b"\x30\x05\x02\x01\x02\x7f\x00",
        b"\x00" * 64,
    ],
)
def test_a_server_that_speaks_something_else_is_no_server(make, verona, answer):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def serve():
            came, _ = listener.accept()
            with came:
                came.recv(4096)
                came.sendall(answer)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        backend = make(verona, servers=[f"ldap://127.0.0.1:{port}"], timeout="1 s")
        with pytest.raises(AuthUnavailable):
            backend.user_exists("juliet")
        thread.join()


def test_idle_connections_are_closed(server, make, verona):
    backend = make(verona, idle_timeout="20 s")
    backend.check_password("juliet", PASSWORD)
    assert backend.directory.open_connections == 2
    server.clock.advance(31)
    assert backend.directory.open_connections == 0
    assert backend.check_password("juliet", PASSWORD)


def test_nothing_stays_open_after_the_end(host, verona, options_for):
    backend = Backend(host, Options(**options_for(verona)))
    backend.start()
    backend.check_password("juliet", PASSWORD)
    backend.stop()
    assert backend.directory.open_connections == 0


# The parts


class FakeConnection:
    def __init__(self, server="first"):
        self.server = server
        self.used_at = self.opened_at = 0.0
        self.is_alive = True
        self.is_closed = False

    def used(self):
        pass

    def close(self):
        self.is_closed = True


@pytest.fixture
def pool():
    return Pool(2, FakeConnection, idle_seconds=60, monotonic=lambda: 0.0)


def test_connections_are_lent_to_one_at_a_time_and_used_again(pool):
    with pool.lend() as one, pool.lend() as other:
        assert one is not other
    with pool.lend() as again:
        assert again is one


def test_no_more_connections_than_allowed_are_open(pool):
    with pool.lend(), pool.lend():
        waiting = gevent.spawn(lambda: pool.lend().__enter__())
        gevent.sleep(0)
        assert not waiting.ready()
        waiting.kill()


def test_no_more_than_a_number_wait_for_a_connection(pool):
    with pool.lend(), pool.lend():
        waiting = [gevent.spawn(lambda: pool.lend().__enter__()) for _ in range(MAX_WAITING)]
        gevent.sleep(0)
        with pytest.raises(LdapUnavailable, match="too many"), pool.lend():
            pass
        gevent.killall(waiting)
    with pool.lend():
        pass


class Killed(BaseException):
    pass


def test_a_connection_that_was_left_in_the_middle_is_not_used_again(pool):
    with pytest.raises(Killed), pool.lend() as connection:
        raise Killed
    assert connection.is_closed
    with pytest.raises(Refused), pool.lend() as connection:
        raise Refused("constraintViolation")
    assert not connection.is_closed
    assert len(pool) == 1


def test_a_dead_connection_is_not_lent(pool):
    with pool.lend() as connection:
        pass
    connection.is_alive = False
    with pool.lend() as other:
        assert other is not connection


def test_a_connection_that_comes_back_late_is_closed(pool):
    with pool.lend() as connection:
        pool.close()
        assert not connection.is_closed
    assert connection.is_closed


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, event, **more):
        self.lines.append(event)

    info = warning


def test_of_servers_that_failed_the_one_is_tried_first_that_has_rested_longest():
    now = [100.0]
    log = Log()
    first, second, third = (Server(name, 389, "none") for name in ("a", "b", "c"))
    servers = Servers([first, second, third], 30, lambda: now[0], log)
    assert servers.candidates() == [first, second, third]
    servers.failed(second, "")
    now[0] += 1
    servers.failed(first, "")
    servers.failed(first, "")
    assert servers.candidates() == [third, second, first]
    now[0] += 29
    assert servers.candidates() == [second, third, first]
    servers.answered(first)
    assert servers.candidates() == [first, second, third]
    assert log.lines == ["directory server fails"] * 2 + ["directory server answers again"]


def test_in_an_outage_one_a_second_tries():
    now = [0.0]
    outage = Outage(lambda: now[0])

    def fail():
        with outage.guard():
            raise NoServer("nobody")

    with pytest.raises(NoServer):
        fail()
    with pytest.raises(LdapUnavailable, match="nobody"), outage.guard():
        raise AssertionError("nobody may try now")
    now[0] = 1.0
    # Others do not try at the same time.
    with outage.guard(), pytest.raises(LdapUnavailable), outage.guard():
        raise AssertionError("somebody tries already")
    with outage.guard():
        pass


def test_whoever_tries_and_is_killed_keeps_nobody_else_from_trying():
    now = [0.0]
    outage = Outage(lambda: now[0])
    with pytest.raises(NoServer), outage.guard():
        raise NoServer("nobody")
    now[0] = 1.0
    with pytest.raises(Killed), outage.guard():
        raise Killed
    with outage.guard():
        pass


def test_the_directory_is_handed_on_where_backends_are_exchanged(server, verona, options_for):
    server.configure(
        auth=["testing", "ldap"], auth_options={"ldap": options_for(verona, filter="(sn=Capulet)")}
    )
    host = server.host("capulet.example")
    link = host.kernel.service("ldap")
    before = link.directory
    new = server.kernel.make_accounts(host.kernel, server._configuration().hosts[host.name])
    assert link.directory is not before
    old, host.kernel.accounts = host.kernel.accounts, new
    server.kernel.stop_accounts(old)
    server.settle()
    assert host.kernel.service("ldap") is link
    assert link.directory.find("juliet") is not None
