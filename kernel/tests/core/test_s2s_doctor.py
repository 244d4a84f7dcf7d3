"""Why another server can be spoken to, or not: facts about peers with an ill each."""

import gc
import socket
from ssl import TLSVersion

import gevent
import pytest
from doctor_cast import (
    DIALBACK,
    EXTERNAL,
    LOCAL,
    LOCALHOST,
    OLD_HEADER,
    REMOTE,
    STARTTLS,
    Authority,
    Peer,
    codes,
    features,
    stream_error,
    verdicts,
)
from gevent.event import Event

from stonechat.commands import CommandError
from stonechat.core import certificate_facts, examiner, s2s_doctor
from stonechat.core.findings import Deadlines
from stonechat.examination import Finding
from stonechat.plugin import hookimpl
from stonechat.testing import until

OPTIONAL = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"


class Prover:
    """A plugin that can prove domains."""

    def __init__(self, host, options):
        self.host = host

    @hookimpl
    def stonechat_prove_domain(self, stream, pair):
        return None


class World:
    """A host with a certificate, name servers, and whoever listens on loopback."""

    def __init__(self, server, dns_server, directory):
        self.server = server
        self.dns = dns_server
        self.authority = Authority(directory)
        self.ours = self.authority.issue(LOCAL)
        self.peers = []

    def start(self, *, certificate=True, plugins=None, **federation):
        own = {"chain": str(self.ours.chain), "key": str(self.ours.key)}
        self.server.configure(
            federation={"enabled": True, "ca_file": str(self.authority.path), **federation},
            dns={"servers": [self.dns.address], "timeout": "2 s"},
            hosts={LOCAL: {"certificate": own if certificate else None, "plugins": plugins or {}}},
        )
        classes = dict.fromkeys(plugins or {}, Prover)
        self.host = self.server.host(LOCAL, plugin_classes=classes)

    def peer(self, pair="good", **options):
        if pair == "good":
            pair = self.authority.issue(REMOTE)
        self.peers.append(Peer(pair, **options))
        return self.peers[-1]

    def publish(self, *peers, **more):
        """Records that lead to these peers, by direct TLS where they begin with it."""
        records = {"xmpp.montague.example": ["A 127.0.0.1"], **more}
        for peer in peers:
            name = f"_xmpp{'s' if peer.is_direct else ''}-server._tcp.{REMOTE}"
            record = f"SRV 0 5 {peer.port} xmpp.montague.example"
            records.setdefault(name, []).append(record)
        self.dns.publish(records)

    def examine(self, domain=REMOTE):
        if not hasattr(self, "host"):
            self.start()
        return self.host.kernel.examine_server(domain)


@pytest.fixture
def world(server, dns_server, tmp_path):
    world = World(server, dns_server, tmp_path)
    yield world
    for peer in world.peers:
        peer.close()


def only(findings, step) -> Finding:
    [found] = [each for each in findings if each.step == step]
    return found


# What is well


def test_a_server_with_which_all_is_well_passes_every_step(world):
    peer = world.peer(secure=features(EXTERNAL, DIALBACK))
    world.publish(peer)
    findings = world.examine()
    assert set(verdicts(findings).values()) == {"ok"}
    assert list(dict.fromkeys(each.step for each in findings)) == [
        "policy",
        "now",
        "dns",
        "addresses",
        "connect",
        "stream",
        "tls",
        "certificate",
        "features",
        "authentication",
        "own-certificate",
        "outcome",
    ]
    place = f"xmpp.montague.example port {peer.port}"
    assert only(findings, "connect").target == f"{place} at 127.0.0.1"
    assert only(findings, "tls").text.startswith("TLSv1.3, ")
    assert only(findings, "certificate").text.startswith("for montague.example; issued by CN=")
    assert only(findings, "features").text == "mechanisms, dialback"
    assert only(findings, "outcome").text == f"stanzas can go to {place}, with our certificate"


def test_direct_tls_is_examined_beside_starttls(world):
    plain, direct = world.peer(), world.peer(direct=True)
    world.publish(plain, direct)
    findings = world.examine()
    assert set(verdicts(findings).values()) == {"ok"}
    names = {each.target for each in findings if each.step == "tls"}
    assert names == {
        f"xmpp.montague.example port {plain.port}",
        f"xmpp.montague.example port {direct.port}, direct TLS",
    }


def test_it_proves_nothing_and_takes_its_leave(world):
    peer = world.peer(secure=features(EXTERNAL, DIALBACK), authority=world.authority)
    world.publish(peer)
    world.examine()
    until(lambda: peer.heard.endswith("</stream:stream>"), "its leave")
    assert "<auth" not in peer.heard
    assert "result" not in peer.heard
    assert f"from='{LOCAL}'" in peer.heard
    # What we would show a stream in service was shown.
    assert peer.shown[0]["subjectAltName"] == (("DNS", LOCAL),)


def test_no_stream_in_service_hears_of_it(world):
    world.publish(world.peer())
    world.start()
    s2s = world.server.kernel.s2s
    world.examine()
    assert s2s.figures == (0, 0, 0, 0, 0)
    assert not s2s.links
    assert not list(s2s.rests.resting())


# DNS


def test_a_domain_without_records_is_sought_at_its_own_address(world):
    world.dns.publish({REMOTE: "A 127.0.0.9"})
    findings = world.examine()
    assert codes(findings, "dns") == ["no-records", "no-records", "own-address"]
    assert only(findings, "addresses").text == "127.0.0.9"
    assert only(findings, "connect").target == f"{REMOTE} port 5269 at 127.0.0.9"


def test_an_address_in_place_of_a_domain_is_not_looked_up(world):
    findings = world.examine("127.0.0.9")
    assert codes(findings, "dns") == ["own-address"]
    assert world.dns.queries == []


def test_records_that_say_that_there_is_no_server_are_believed(world):
    world.dns.publish({f"_xmpp-server._tcp.{REMOTE}": "SRV 0 0 0 .", REMOTE: "A 127.0.0.1"})
    findings = world.examine()
    assert codes(findings, "dns") == ["refused-by-record", "no-records", "no-server"]
    assert verdicts(findings)["connect"] == "skipped"
    assert only(findings, "outcome").verdict == "failed"


def test_a_domain_that_does_not_exist_has_no_address(world):
    world.dns.publish({"verona.example": "A 127.0.0.1"})
    findings = world.examine()
    assert codes(findings, "addresses") == ["no-address"]
    assert only(findings, "outcome").text.startswith("no stream can be had; addresses: ")


def test_name_servers_that_fail_are_told(world):
    world.dns.behave("SERVFAIL")
    findings = world.examine()
    assert codes(findings, "dns") == ["dns-unavailable"] * 3
    assert verdicts(findings)["dns"] == "failed"
    assert codes(findings, "tls") == ["not-reached"]


def test_what_others_remember_of_dns_is_not_what_is_told(world):
    world.dns.publish({REMOTE: "A 127.0.0.8"})
    world.examine()
    world.dns.publish({REMOTE: "A 127.0.0.9"})
    assert only(world.examine(), "addresses").text == "127.0.0.9"


# Connections


def test_every_address_is_connected_to_and_one_that_works_is_enough(world):
    peer = world.peer()
    world.publish(peer, **{"xmpp.montague.example": ["A 127.0.0.9", "A 127.0.0.1"]})
    findings = world.examine()
    connections = {each.target[-9:]: each for each in findings if each.step == "connect"}
    assert connections["127.0.0.1"].code == "connected"
    assert connections["127.0.0.9"].code == "connection-refused"
    assert connections["127.0.0.9"].verdict == "warning"
    assert only(findings, "outcome").code == "can-speak"


def test_of_several_addresses_that_work_one_is_talked_to_and_the_others_let_go(world, recwarn):
    peer = world.peer(address="0.0.0.0")  # noqa: S104 - all that are of this machine
    world.publish(peer, **{"xmpp.montague.example": ["A 127.0.0.2", "A 127.0.0.1"]})
    findings = world.examine()
    assert codes(findings, "connect") == ["connected", "connected"]
    assert codes(findings, "tls") == ["encrypted"]
    assert peer.connections == 2
    gc.collect()
    assert [warning for warning in recwarn if warning.category is ResourceWarning] == []


def test_a_port_where_nobody_listens_is_told_and_what_lies_behind_it_skipped(world):
    with socket.socket() as closed:
        closed.bind((LOCALHOST, 0))
        port = closed.getsockname()[1]
        world.dns.publish(
            {f"_xmpp-server._tcp.{REMOTE}": f"SRV 0 0 {port} {REMOTE}", REMOTE: "A 127.0.0.1"}
        )
        findings = world.examine()
    assert codes(findings, "connect") == ["connection-refused"]
    skipped = [each.step for each in findings if each.verdict == "skipped"]
    assert skipped == ["stream", "tls", "certificate", "features", "authentication"]


def test_one_place_of_several_that_works_is_enough(world):
    sick, sound = world.peer(clear=stream_error("host-unknown")), world.peer()
    world.publish(sick, sound)
    findings = world.examine()
    assert verdicts(findings)["stream"] == "failed"
    assert str(sound.port) in only(findings, "outcome").text


# Streams


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (stream_error("host-unknown"), "host-unknown"),
        (stream_error("policy-violation"), "stream-error"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "no-xmpp"),
        ("<html>", "no-xmpp"),
        (features()[:-5] + "<!-- a comment -->", "no-xmpp"),
        (features().replace("jabber:server", "jabber:client"), "no-xmpp"),
        (features().replace("stream:features", "message"), "no-xmpp"),
        (features().replace("<stream:features></stream:features>", "</stream:stream>"), "closed"),
    ],
    ids=range(8),
)
def test_what_does_not_speak_xmpp_to_us_is_told(world, answer, code):
    world.publish(world.peer(clear=answer))
    findings = world.examine()
    assert codes(findings, "stream") == [code]
    assert only(findings, "stream").verdict == "failed"
    assert codes(findings, "tls") == ["not-reached"]


def test_a_peer_that_is_silent_takes_no_more_than_the_time_of_a_step(world, monkeypatch):
    monkeypatch.setattr(s2s_doctor, "STEP_SECONDS", 0.2)
    world.publish(world.peer(clear=""))
    findings = world.examine()
    assert codes(findings, "stream") == ["no-answer"]


def test_all_steps_together_have_a_bound(world, monkeypatch):
    monkeypatch.setattr(s2s_doctor, "TOTAL_SECONDS", 0.0)
    findings = world.examine()
    assert codes(findings, "dns") == ["no-time"]
    assert world.dns.queries == []


def test_the_deadline_of_whoever_asks_is_not_taken_for_a_steps(world):
    outer = gevent.Timeout(0.001)
    with pytest.raises(gevent.Timeout) as caught, outer, Deadlines(10, 10).hold("an answer"):
        Event().wait()
    assert caught.value is outer


def test_what_a_stranger_writes_moves_no_cursor_and_has_an_end(world):
    text = f"<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>\u202e{'x' * 5000}</text>"
    world.publish(
        world.peer(
            clear=stream_error("reset").replace("</stream:error>", f"{text}</stream:error>")
        )
    )
    found = only(world.examine(), "stream")
    assert found.text.isprintable()
    assert r"\u202e" in found.text
    assert len(found.text) < 500


# TLS


def test_a_server_without_starttls_is_too_little_unless_it_need_not_encrypt(world):
    world.publish(world.peer(clear=features(DIALBACK)))
    findings = world.examine()
    assert codes(findings, "tls") == ["no-starttls"]
    assert verdicts(findings)["tls"] == "failed"
    assert only(findings, "outcome").code == "cannot-speak"


def test_a_server_in_the_clear_will_do_where_any_is_trusted(world):
    world.start(plugins={"prover": {}}, trust="any")
    world.publish(world.peer(clear=features(DIALBACK)))
    findings = world.examine()
    assert verdicts(findings)["tls"] == "warning"
    assert codes(findings, "authentication") == ["dialback"]
    assert only(findings, "outcome").code == "can-speak"


def test_starttls_that_is_offered_and_refused_is_told(world):
    world.publish(world.peer(proceed="<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"))
    assert codes(world.examine(), "tls") == ["starttls-refused"]


def test_a_handshake_that_fails_is_told(world):
    peer = world.peer(direct=True)
    peer.context.maximum_version = TLSVersion.TLSv1_2
    peer.context.set_ciphers("AES256-SHA")  # no forward secrecy
    world.publish(peer)
    findings = world.examine()
    assert codes(findings, "tls") == ["handshake-failed"]


def test_a_peer_that_does_not_like_our_certificate_says_so_behind_the_handshake(world, tmp_path):
    (tmp_path / "mantua").mkdir()
    stranger = Authority(tmp_path / "mantua", "The Apothecary")
    world.publish(world.peer(authority=stranger))
    findings = world.examine()
    assert "handshake-failed" in codes(findings, "tls")
    assert only(findings, "outcome").code == "cannot-speak"


def test_direct_tls_without_a_word_on_the_protocol_is_a_warning(world):
    world.publish(world.peer(direct=True, alpn=()))
    findings = world.examine()
    assert codes(findings, "tls") == ["no-alpn"]
    assert only(findings, "outcome").code == "can-speak"


# Certificates


def issue(world, **options):
    return world.authority.issue(options.pop("host", REMOTE), **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"self_signed": True}, ["self-signed"]),
        ({"host": "verona.example"}, ["wrong-name"]),
        ({"days": (-30, -2)}, ["expired"]),
        ({"days": (2, 30)}, ["not-yet-valid"]),
        ({"days": (-30, 5)}, ["trusted", "expires-soon"]),
        ({"self_signed": True, "host": "verona.example"}, ["self-signed", "wrong-name"]),
    ],
    ids=lambda value: str(value),
)
def test_what_is_wrong_with_a_certificate_is_told(world, options, expected):
    world.publish(world.peer(issue(world, **options)))
    findings = world.examine()
    assert codes(findings, "certificate") == expected
    is_good = expected[0] == "trusted"
    assert verdicts(findings)["certificate"] == ("warning" if is_good else "failed")
    assert only(findings, "outcome").code == ("can-speak" if is_good else "cannot-speak")


def test_a_certificate_that_comes_without_its_issuer_is_told_apart_from_a_strange_one(
    world, tmp_path
):
    (tmp_path / "mantua").mkdir()
    stranger = Authority(tmp_path / "mantua", "The Apothecary")
    alone = stranger.issue(REMOTE)
    world.publish(world.peer(alone))
    findings = world.examine()
    assert codes(findings, "certificate") == ["chain-incomplete"]
    assert "CN=The Apothecary" in only(findings, "certificate").text
    with alone.chain.open("ab") as file:
        file.write(stranger.path.read_bytes())
    world.publish(world.peer(alone))
    assert codes(world.examine(), "certificate") == ["unknown-authority"]


def test_a_certificate_that_cannot_be_read_is_told_and_stops_nobody(world, monkeypatch):
    def malformed(certificate):
        raise ValueError("error parsing asn1 value")

    world.publish(world.peer())
    world.start()
    monkeypatch.setattr(certificate_facts, "describe", malformed)
    findings = world.examine()
    assert codes(findings, "certificate") == ["invalid"]
    assert codes(findings, "authentication") == ["external"]


def test_with_dialback_a_certificate_need_not_be_good(world):
    world.start(plugins={"prover": {}}, trust="dialback")
    world.publish(world.peer(issue(world, self_signed=True), secure=features(DIALBACK)))
    findings = world.examine()
    assert codes(findings, "certificate") == ["self-signed"]
    assert verdicts(findings)["certificate"] == "warning"
    assert only(findings, "outcome").text.endswith("with a dialback")


# Proofs


@pytest.mark.parametrize(
    ("offered", "plugins", "expected"),
    [
        ([EXTERNAL], {}, "external"),
        ([DIALBACK], {}, "no-proof"),
        ([DIALBACK], {"prover": {}}, "dialback"),
        ([], {"prover": {}}, "no-offer"),
    ],
    ids=range(4),
)
def test_what_we_can_prove_ourselves_with_is_told(world, offered, plugins, expected):
    world.start(plugins=plugins)
    world.publish(world.peer(secure=features(*offered)))
    findings = world.examine()
    assert codes(findings, "authentication") == [expected]
    can_speak = expected in ("external", "dialback")
    assert only(findings, "outcome").code == ("can-speak" if can_speak else "cannot-speak")


def test_a_certificate_proves_nothing_in_the_clear(world):
    world.start(trust="any")
    world.publish(world.peer(clear=features(EXTERNAL)))
    assert codes(world.examine(), "authentication") == ["no-offer"]


@pytest.mark.parametrize("plugins", [{}, {"prover": {}}])
def test_it_says_that_it_speaks_dialback_where_streams_would(world, plugins):
    world.start(plugins=plugins, trust="any")
    peer = world.peer(clear=features(DIALBACK))
    world.publish(peer)
    world.examine()
    until(lambda: peer.heard.endswith("</stream:stream>"), "its leave")
    assert ("jabber:server:dialback" in peer.heard) == bool(plugins)


@pytest.mark.parametrize(
    ("trust", "starttls", "end", "code"),
    [
        ("any", OPTIONAL, "handshake", "can-speak"),
        ("any", OPTIONAL, "refusal", "can-speak"),
        ("any", OPTIONAL, "octets", "can-speak"),
        ("any", STARTTLS, "handshake", "cannot-speak"),
        ("dialback", OPTIONAL, "handshake", "cannot-speak"),
    ],
)
def test_where_tls_fails_and_nobody_wants_it_it_goes_without(world, trust, starttls, end, code):
    world.start(plugins={"prover": {}}, trust=trust)
    peer = world.peer(clear=features(starttls, DIALBACK))
    if end == "handshake":
        peer.context.maximum_version = TLSVersion.TLSv1_2
        peer.context.set_ciphers("AES256-SHA")
    elif end == "refusal":
        peer.proceed = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
    else:
        peer.proceed += "<stream:features/>"
    world.publish(peer)
    findings = world.examine()
    assert only(findings, "outcome").code == code
    assert only(findings, "tls").verdict == ("warning" if code == "can-speak" else "failed")


def test_a_header_that_names_dialback_offers_it_too(world):
    world.start(plugins={"prover": {}}, trust="any")
    old = OLD_HEADER.replace(" id=", " xmlns:db='jabber:server:dialback' id=")
    world.publish(world.peer(clear=old))
    findings = world.examine()
    assert codes(findings, "stream") == ["old-version"]
    assert codes(findings, "authentication") == ["dialback"]
    assert only(findings, "outcome").code == "can-speak"


def test_without_a_certificate_external_is_nothing_to_us(world):
    world.start(certificate=False)
    world.publish(world.peer(secure=features(EXTERNAL)))
    findings = world.examine()
    assert codes(findings, "authentication") == ["no-proof"]
    assert codes(findings, "own-certificate") == ["no-certificate"]
    assert verdicts(findings)["own-certificate"] == "failed"


def test_our_own_certificate_is_seen_as_others_see_it(world):
    world.ours = world.authority.issue(LOCAL, self_signed=True)
    world.publish(world.peer(secure=features(DIALBACK)))
    findings = world.examine()
    assert codes(findings, "own-certificate") == ["self-signed"]
    assert verdicts(findings)["own-certificate"] == "failed"


def test_a_certificate_that_they_take_is_good_enough_whatever_we_think_of_it(world):
    world.ours = world.authority.issue(LOCAL, self_signed=True)
    world.publish(world.peer(secure=features(EXTERNAL)))
    findings = world.examine()
    assert codes(findings, "own-certificate") == ["self-signed"]
    assert verdicts(findings)["own-certificate"] == "warning"


def test_a_certificate_that_is_for_servers_only_is_a_warning(world):
    from cryptography.x509.oid import ExtendedKeyUsageOID

    world.ours = world.authority.issue(LOCAL, usages=[ExtendedKeyUsageOID.SERVER_AUTH])
    world.publish(world.peer())
    assert codes(world.examine(), "own-certificate") == ["trusted", "server-only"]


def test_files_of_ours_that_are_broken_by_now_do_not_keep_others_from_being_examined(world):
    world.start()
    world.ours.key.write_text("wherefore")
    world.publish(world.peer())
    findings = world.examine()
    # The one in use, which is as good as ever.
    assert codes(findings, "own-certificate") == ["trusted"]
    assert codes(findings, "certificate") == ["trusted"]


# Policy


def test_a_domain_that_is_denied_is_examined_and_told(world):
    world.start(domains={REMOTE: {"access": "deny"}})
    world.publish(world.peer())
    findings = world.examine()
    assert codes(findings, "policy") == ["denied"]
    assert codes(findings, "certificate") == ["trusted"]
    assert only(findings, "outcome").code == "cannot-speak"


def test_a_host_that_speaks_to_nobody_is_told_so(world):
    world.start(enabled=False)
    assert codes(world.examine(), "policy") == ["not-federated"]


def test_a_domain_of_ours_is_seen_as_others_see_it(world):
    world.start()
    world.dns.publish({f"_xmpp-server._tcp.{LOCAL}": "SRV 0 0 0 ."})
    findings = world.examine(LOCAL)
    assert codes(findings, "policy") == ["served-here"]
    assert only(findings, "outcome").code == "cannot-speak"


def test_the_streams_of_the_moment_are_told(world):
    world.start()
    remote = world.server.remote(REMOTE)
    assert codes(world.examine(), "now") == ["no-stream"]
    remote.join(world.host)
    found = only(world.examine(), "now")
    assert found.code == "streams"
    assert found.text == f"in: {LOCAL}, open"


def test_a_domain_that_rests_is_told_with_the_reason(world):
    world.start()
    s2s = world.server.kernel.s2s
    juliet = world.host.connect(f"juliet@{LOCAL}/balcony")
    juliet.message(f"romeo@{REMOTE}", "Hark!")
    world.server.settle()
    assert list(s2s.rests.resting())
    found = only(world.examine(), "now")
    assert (found.code, found.verdict) == ("rests", "warning")
    assert "is no remote()" in found.text


# Who asks


def test_without_authorities_nobody_can_be_judged(world):
    world.start()
    world.authority.path.write_text("")
    with pytest.raises(CommandError, match=str(world.authority.path)):
        world.examine()


@pytest.mark.parametrize("domain", ["", "@", "romeo@montague.example", "a b"])
def test_what_is_no_domain_is_refused(world, domain):
    with pytest.raises(CommandError) as refusal:
        world.examine(domain)
    assert refusal.value.condition == "jid-malformed"


def test_so_many_are_examined_at_a_time_and_no_more(world, monkeypatch):
    monkeypatch.setattr(examiner, "MOST_AT_ONCE", 1)
    monkeypatch.setattr(s2s_doctor, "STEP_SECONDS", 0.3)
    world.dns.behave("silent")
    world.start()
    first = gevent.spawn(world.examine)
    gevent.sleep(0)
    with pytest.raises(CommandError) as refusal:
        world.examine()
    assert refusal.value.condition == "resource-constraint"
    assert codes(first.get(), "dns") == ["no-answer"]
    world.dns.behave("well")
    assert codes(world.examine(), "addresses")
