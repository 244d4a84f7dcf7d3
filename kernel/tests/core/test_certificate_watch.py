"""Certificate files that change while the server runs, and the days that they have left."""

from datetime import UTC, datetime

import pytest
from doctor_cast import LOCAL, REMOTE, Authority

from stonechat.core import certificate_watch, plugin_loader
from stonechat.core.certificate_watch import LOOK_SECONDS, WARN_SECONDS
from stonechat.core.config import load_configuration_text
from stonechat.core.metrics import render
from stonechat.core.reload import reload
from stonechat.core.s2s_ways import Ways
from stonechat.core.server import Server

RENEWED = "certificates read again"
REFUSED = "new certificates cannot be used, the old ones stay"


class World:
    """Hosts with certificates, and a clock."""

    def __init__(self, server, directory):
        self.server = server
        self.authority = Authority(directory)
        self.files = {}

    def start(self, *hosts, **sections):
        for name in hosts or (LOCAL,):
            self.files.setdefault(name, self.authority.issue(name))
        settings = {
            name: {"certificate": {"chain": str(pair.chain), "key": str(pair.key)}}
            for name, pair in self.files.items()
        }
        self.server.configure(hosts=settings, **sections)
        self.server.host(next(iter(settings)))
        self.kernel = self.server.kernel
        self.kernel.s2s.ways = Ways(self.kernel)
        # The first look is at the start.
        self.server.clock.advance(0.01)
        self.server.settle()

    def look(self, times=1):
        for _ in range(times):
            self.server.clock.advance(LOOK_SECONDS)
            self.server.settle()

    def renew(self, host=LOCAL):
        """Put another pair in its place; returns what its certificate is."""
        fresh = self.authority.issue(host)
        for old, new in zip(self.files[host], fresh, strict=True):
            old.write_bytes(new.read_bytes())
        return fresh

    def numbers(self):
        """The serial numbers of what is in use, by host."""
        return {h: c.serial_number for h, c in self.kernel.contexts.certificates.items()}


@pytest.fixture
def world(server, tmp_path):
    return World(server, tmp_path)


# Files


def test_a_renewed_certificate_is_in_use_within_a_minute_and_without_a_command(world):
    world.start()
    before = world.numbers()
    world.renew()
    world.server.clock.advance(60)
    world.server.settle()
    assert world.numbers() != before
    [record] = world.server.logged(RENEWED)
    assert record["files"] == sorted(map(str, world.files[LOCAL]))


def test_streams_between_servers_have_the_new_one_too(world):
    world.start(federation={"enabled": True})
    ways = world.kernel.s2s.ways
    contexts, connector = ways.contexts, ways.connector
    world.renew()
    world.look(2)
    assert contexts is ways.contexts
    assert connector is ways.connector
    assert contexts.certificates == connector.certificates == world.kernel.contexts.certificates
    assert len(world.server.logged(RENEWED)) == 1


def test_nothing_is_read_while_nothing_has_changed(world):
    world.start()
    before = world.numbers()
    world.look(5)
    assert world.numbers() == before
    assert world.server.logged(RENEWED) == []


def test_a_file_that_is_half_written_is_left_alone(world):
    world.start()
    chain, key = world.files[LOCAL]
    fresh = world.authority.issue(LOCAL)
    key.write_bytes(fresh.key.read_bytes())
    world.look()
    # The key does not belong to the certificate yet, and nobody has complained.
    chain.write_bytes(fresh.chain.read_bytes())
    world.look()
    assert world.server.logged(REFUSED) == world.server.logged(RENEWED) == []
    world.look()
    assert world.server.logged(RENEWED)


def test_what_cannot_be_used_is_told_once_and_the_old_one_stays(world):
    world.server.expect_errors()
    world.start()
    before = world.numbers()
    world.files[LOCAL].chain.write_text("wherefore")
    world.look(5)
    assert world.numbers() == before
    [record] = world.server.logged(REFUSED)
    assert record["level"] == "error"
    [problem] = record["problems"]
    assert problem.startswith(f"{world.files[LOCAL].chain}: ")
    status = world.server.command("status")
    assert status["certificate_faults"] == [problem]
    assert "stonechat_certificate_faults 1\n" in render(world.kernel)
    # As long as it is good for, that counts which is in use.
    assert status["hosts"][0]["certificate_days"] is not None


def test_a_fault_that_is_mended_is_forgotten(world):
    world.server.expect_errors()
    world.start()
    world.files[LOCAL].chain.write_text("wherefore")
    world.look(2)
    world.renew()
    world.look(2)
    assert world.server.logged(RENEWED)
    assert world.server.command("status")["certificate_faults"] == []


def test_a_file_that_is_put_back_as_it_was_is_no_fault_any_more(world, tmp_path):
    world.server.expect_errors()
    world.start()
    chain = world.files[LOCAL].chain
    chain.rename(tmp_path / "aside")
    world.look(2)
    assert "cannot be read" in world.server.command("status")["certificate_faults"][0]
    (tmp_path / "aside").rename(chain)
    world.look()
    assert world.server.command("status")["certificate_faults"] == []


def test_the_broken_file_of_one_host_does_not_keep_another_from_its_new_one(world):
    world.server.expect_errors()
    world.start(LOCAL, REMOTE)
    before = world.numbers()
    world.files[LOCAL].chain.write_text("wherefore")
    world.renew(REMOTE)
    world.look(2)
    assert world.numbers()[LOCAL] == before[LOCAL]
    assert world.numbers()[REMOTE] != before[REMOTE]
    [record] = world.server.logged(RENEWED)
    assert record["files"] == sorted(map(str, world.files[REMOTE]))
    # And the broken one is noticed when it is mended.
    world.renew(LOCAL)
    world.look(2)
    assert world.numbers()[LOCAL] != before[LOCAL]


def test_other_authorities_are_believed_in_too(world, tmp_path):
    (tmp_path / "mantua").mkdir()
    trusted = tmp_path / "authorities.pem"
    trusted.write_bytes(world.authority.path.read_bytes())
    world.start(federation={"enabled": True, "ca_file": str(trusted)})
    assert world.kernel.s2s.ways.connector
    trusted.write_bytes(Authority(tmp_path / "mantua", "The Apothecary").path.read_bytes())
    world.look(2)
    assert world.server.logged(RENEWED)[0]["files"] == [str(trusted)]


def test_a_host_that_gets_a_certificate_by_a_reload_is_watched_from_then_on(tmp_path):
    file = tmp_path / "stonechat.yml"
    pair = Authority(tmp_path).issue(LOCAL)
    text = f"data_dir: {tmp_path}/data\ndurability: memory\nlisten: []\nhosts: {{{LOCAL}: {{}}}}\n"
    file.write_text(text)
    kernel = Server(load_configuration_text(text, str(file), plugin_loader.options_of))
    kernel.start()
    try:
        assert kernel.certificate_watch._timer is None
        certificate = f"{{certificate: {{chain: {pair.chain}, key: {pair.key}}}}}"
        file.write_text(text.replace("{}", certificate))
        reload(kernel)
        assert kernel.certificate_watch._timer is not None
    finally:
        kernel.stop(1)


def test_without_certificates_nobody_looks(server):
    server.host(LOCAL)
    assert server.kernel.certificate_watch._timer is None


# Days


def soon(world, server, days):
    """A certificate that has so many days left by the clock of the test."""
    now = server.clock.now() / 86_400_000_000
    today = datetime.now(UTC).timestamp() / 86_400
    return world.authority.issue(LOCAL, days=(now - today - 30, now - today + days))


def warnings(server):
    return server.logged("the certificate expires soon")


def test_a_certificate_that_ends_soon_is_warned_of_once_a_day(world, server, monkeypatch):
    # Or the day would be long.
    monkeypatch.setattr(certificate_watch, "LOOK_SECONDS", 3600.0)
    world.files[LOCAL] = soon(world, server, 13.5)
    world.start()
    [record] = warnings(server)
    assert (record["level"], record["host"], record["days"]) == ("warning", LOCAL, 13)
    server.clock.advance(WARN_SECONDS / 2)
    server.settle()
    assert len(warnings(server)) == 1
    server.clock.advance(WARN_SECONDS / 2)
    server.settle()
    assert [record["days"] for record in warnings(server)] == [13, 12]


def test_a_certificate_that_has_two_weeks_is_not_warned_of(world, server):
    world.files[LOCAL] = soon(world, server, 14.5)
    world.start()
    assert warnings(server) == []


def test_a_certificate_that_has_expired_is_an_error(world, server):
    server.expect_errors()
    world.files[LOCAL] = soon(world, server, -0.5)
    world.start()
    [record] = server.logged("the certificate has expired")
    assert (record["level"], record["host"]) == ("error", LOCAL)


def test_the_metrics_have_the_end_of_what_is_in_use(world):
    world.start()
    end = world.kernel.contexts.certificates[LOCAL].not_valid_after_utc.timestamp()
    line = f'stonechat_certificate_expiry_seconds{{host="{LOCAL}"}} {end:.6f}\n'
    assert line in render(world.kernel)
    world.files[LOCAL].chain.unlink()
    assert line in render(world.kernel)
