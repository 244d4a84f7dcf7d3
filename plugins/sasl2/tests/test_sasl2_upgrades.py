"""SASL Upgrade Tasks (XEP-0480): clients compute the hashes that accounts lack."""

import base64
import hashlib

import pytest

from stonechat.auth import check_against_scram
from stonechat.errors import StorageError
from stonechat.namespaces import NS_BIND, NS_SASL
from stonechat.xml import Element

NS = "urn:xmpp:sasl:2"
NS_UPGRADE = "urn:xmpp:sasl:upgrade:0"
NS_SCRAM_UPGRADE = "urn:xmpp:scram-upgrade:0"
NS_BIND2 = "urn:xmpp:bind:0"
PASSWORD = "R0m30"
TASK_256, TASK_512 = "UPGR-SCRAM-SHA-256", "UPGR-SCRAM-SHA-512"


@pytest.fixture
def host(server):
    """A host whose older accounts have fewer hashes than new passwords get."""
    server.configure(
        auth=["internal"], auth_options={"internal": {"hashes": ["SHA-1"], "iterations": 4096}}
    )
    host = server.host("capulet.example", sasl2={})
    host.create_account("juliet", PASSWORD)
    host.create_account("tybalt", PASSWORD)
    server.configure(auth_options={"internal": {"iterations": 4096}})
    server.restart()
    host.create_account("romeo", PASSWORD)
    return host


@pytest.fixture
def stream(host):
    return host.open_stream(tls=True)


def ready_for(*tasks):
    return "".join(f"<upgrade xmlns='{NS_UPGRADE}'>{task}</upgrade>" for task in tasks)


def log_in(stream, *payload, localpart="juliet", password=PASSWORD):
    return stream.log_in_inline(localpart, password, *payload)


def tasks_of(continuation):
    assert continuation.qualified_name == f"{NS} continue"
    return [task.text for task in continuation.find("tasks").elements]


def begin(stream, task):
    stream.send(f"<next xmlns='{NS}' task='{task}'/>")
    return stream.receive_element()


def salted(data, digest="sha256", password=PASSWORD):
    """What a client computes of what it is given."""
    assert data.qualified_name == f"{NS} task-data"
    salt = data.find("salt", NS_SCRAM_UPGRADE)
    octets = base64.b64decode(salt.text)
    assert len(octets) >= 16
    iterations = int(salt.get("iterations"))
    assert iterations >= 4096
    return hashlib.pbkdf2_hmac(digest, password.encode(), octets, iterations)


def answer(stream, octets):
    text = octets if isinstance(octets, str) else base64.b64encode(octets).decode()
    stream.send(
        f"<task-data xmlns='{NS}'><hash xmlns='{NS_SCRAM_UPGRADE}'>{text}</hash></task-data>"
    )
    return stream.receive_element()


def kept(host, localpart, name):
    backend = host.kernel.accounts._chain._backends[0].instance
    return backend.scram_credentials(localpart, name)


def offered(host):
    feature = host.open_stream(tls=True).features.find("authentication", NS)
    return [e.text for e in feature.find_all("upgrade", NS_UPGRADE)]


def mechanisms(host):
    feature = host.open_stream(tls=True).features.find("authentication", NS)
    return [e.text for e in feature.find_all("mechanism")]


def test_what_some_accounts_lack_is_asked_for_of_everybody(host):
    assert offered(host) == [TASK_512, TASK_256]
    assert mechanisms(host) == ["SCRAM-SHA-1", "PLAIN"]


def test_a_client_computes_what_its_account_lacks(host, stream):
    continuation = log_in(stream, ready_for(TASK_256))
    assert tasks_of(continuation) == [TASK_256]
    success = answer(stream, salted(begin(stream, TASK_256)))
    assert success.name == "success"
    assert success.find_text("authorization-identifier") == "juliet@capulet.example"
    assert check_against_scram(PASSWORD, kept(host, "juliet", "SHA-256"))
    assert kept(host, "juliet", "SHA-512") is None


def test_a_hash_that_all_have_in_the_end_is_offered_and_not_asked_for(host):
    for localpart in ("juliet", "tybalt"):
        assert "SCRAM-SHA-256" not in mechanisms(host)
        stream = host.open_stream(tls=True)
        log_in(stream, ready_for(TASK_256), localpart=localpart)
        assert answer(stream, salted(begin(stream, TASK_256))).name == "success"
    assert mechanisms(host) == ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]
    assert offered(host) == [TASK_512]


def test_several_are_computed_one_after_the_other(host, stream):
    assert tasks_of(log_in(stream, ready_for(TASK_256, TASK_512))) == [TASK_512]
    continuation = answer(stream, salted(begin(stream, TASK_512), "sha512"))
    assert tasks_of(continuation) == [TASK_256]
    assert answer(stream, salted(begin(stream, TASK_256))).name == "success"
    for name in ("SHA-256", "SHA-512"):
        assert check_against_scram(PASSWORD, kept(host, "juliet", name))


def test_what_scram_has_to_say_comes_with_the_first_and_only_there(host, stream):
    import hmac
    from base64 import b64decode, b64encode

    first = b64encode(b"n,,n=juliet,r=abc").decode()
    stream.send(
        f"<authenticate xmlns='{NS}' mechanism='SCRAM-SHA-1'><initial-response>{first}"
        f"</initial-response>{ready_for(TASK_256)}</authenticate>"
    )
    challenge = b64decode(stream.receive_element().text).decode()
    fields = dict(part.split("=", 1) for part in challenge.split(","))
    key = hashlib.pbkdf2_hmac("sha1", PASSWORD.encode(), b64decode(fields["s"]), int(fields["i"]))
    client_key = hmac.digest(key, b"Client Key", "sha1")
    final = f"c=biws,r={fields['r']}"
    signed = f"n=juliet,r=abc,{challenge},{final}".encode()
    signature = hmac.digest(
        hashlib.sha1(client_key, usedforsecurity=False).digest(), signed, "sha1"
    )
    proof = b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True))).decode()
    stream.send(
        f"<response xmlns='{NS}'>{b64encode(f'{final},p={proof}'.encode()).decode()}</response>"
    )
    continuation = stream.receive_element()
    assert tasks_of(continuation) == [TASK_256]
    said = b64decode(continuation.find_text("additional-data"))
    assert said == b"v=" + b64encode(
        hmac.digest(hmac.digest(key, b"Server Key", "sha1"), signed, "sha1")
    )
    success = answer(stream, salted(begin(stream, TASK_256)))
    assert success.find("additional-data") is None


def test_who_lacks_nothing_is_let_in_at_once(stream):
    assert log_in(stream, ready_for(TASK_256, TASK_512), localpart="romeo").name == "success"


@pytest.mark.parametrize("payload", ["", ready_for("UPGR-SCRAM-SHA-1"), ready_for("UPGR-X", "")])
def test_who_is_not_ready_for_it_is_let_in_at_once(stream, payload):
    assert log_in(stream, payload).name == "success"


def test_whoever_has_the_wrong_password_is_asked_for_nothing(stream):
    assert log_in(stream, ready_for(TASK_256), password="wrong").name == "failure"


def test_nothing_is_bound_before_the_task_is_done(host, stream):
    log_in(stream, ready_for(TASK_256), f"<bind xmlns='{NS_BIND2}'/>")
    data = begin(stream, TASK_256)
    assert host.kernel.sessions("juliet") == ()
    assert host.kernel.logins == 0
    success = answer(stream, salted(data))
    assert success.find("bound", NS_BIND2) is not None
    assert len(host.kernel.sessions("juliet")) == 1


def test_no_stanza_comes_in_between(host, stream):
    log_in(stream, ready_for(TASK_256))
    stream.send(f"<iq type='set' id='b1'><bind xmlns='{NS_BIND}'/></iq>")
    assert stream.closed_with() == "policy-violation"
    assert host.kernel.sessions("juliet") == ()


def condition_of(failure):
    assert failure.qualified_name == f"{NS} failure"
    assert failure.first().namespace == NS_SASL
    return failure.first().name


@pytest.mark.parametrize("hash_", ["", "%%%", b"short", b"x" * 20, b"x" * 64, " " * 10])
def test_what_is_no_salted_password_fails_the_login(host, stream, hash_):
    log_in(stream, ready_for(TASK_256))
    begin(stream, TASK_256)
    assert condition_of(answer(stream, hash_)) == "malformed-request"
    assert kept(host, "juliet", "SHA-256") is None
    assert host.kernel.logins == 0
    # The stream is as it was.
    assert log_in(stream).name == "success"


@pytest.mark.parametrize(
    "elements",
    [
        [f"<next xmlns='{NS}' task='{TASK_512}'/>"],
        [f"<next xmlns='{NS}'/>"],
        [f"<next xmlns='{NS}' task='{TASK_256}'/>"] * 2,
        [f"<task-data xmlns='{NS}'/>"],
    ],
)
def test_tasks_out_of_order_fail_the_login(stream, elements):
    log_in(stream, ready_for(TASK_256))
    for element in elements:
        stream.send(element)
        last = stream.receive_element()
    assert condition_of(last) == "malformed-request"


@pytest.mark.parametrize(
    "element",
    [f"<response xmlns='{NS}'/>", f"<authenticate xmlns='{NS}' mechanism='PLAIN'/>"],
)
def test_nobody_goes_back_to_the_mechanism(stream, element):
    log_in(stream, ready_for(TASK_256))
    stream.send(element)
    assert stream.closed_with() == "policy-violation"


def test_a_client_may_give_up_and_log_in_without_it(stream):
    log_in(stream, ready_for(TASK_256))
    stream.send(f"<abort xmlns='{NS}'/>")
    assert condition_of(stream.receive_element()) == "aborted"
    assert log_in(stream).name == "success"


def test_an_account_that_is_removed_meanwhile_gets_no_session(host, stream):
    log_in(stream, ready_for(TASK_256), f"<bind xmlns='{NS_BIND2}'/>")
    data = begin(stream, TASK_256)
    host.kernel.accounts.remove("juliet")
    success = answer(stream, salted(data))
    assert success.find("failed", NS_BIND2).first().name == "not-authorized"
    assert host.kernel.sessions("juliet") == ()


def test_what_was_computed_of_an_old_password_is_not_kept(host, stream):
    log_in(stream, ready_for(TASK_256))
    data = begin(stream, TASK_256)
    host.kernel.accounts.set_password("juliet", "another")
    assert answer(stream, salted(data)).name == "success"
    assert check_against_scram("another", kept(host, "juliet", "SHA-256"))


@pytest.mark.parametrize("step", ["missing_hashes", "add_scram"])
def test_a_store_that_is_away_keeps_nobody_out(server, host, stream, monkeypatch, step):
    def fail(*arguments):
        raise StorageError("the disk is full")

    accounts = host.kernel.accounts
    if step == "missing_hashes":
        monkeypatch.setattr(accounts, "missing_hashes", fail)
        assert log_in(stream, ready_for(TASK_256)).name == "success"
    else:
        log_in(stream, ready_for(TASK_256))
        monkeypatch.setattr(accounts, "add_scram", fail)
        assert answer(stream, salted(begin(stream, TASK_256))).name == "success"
    (record,) = server.logged("hash not added") + server.logged("hashes not looked up")
    assert record["account"] == "juliet"


def test_it_can_be_switched_off(server, host):
    host.disable("sasl2")
    host.enable("sasl2", {"upgrades": False})
    assert offered(host) == []
    assert log_in(host.open_stream(tls=True), ready_for(TASK_256)).name == "success"


def test_backends_that_cannot_keep_more_are_asked_for_nothing(server):
    host = server.host("montague.example", sasl2={})
    host.create_account("romeo", PASSWORD)
    assert offered(host) == []
    stream = host.open_stream(tls=True)
    assert log_in(stream, ready_for(TASK_256), localpart="romeo").name == "success"
    assert isinstance(stream.features, Element)
