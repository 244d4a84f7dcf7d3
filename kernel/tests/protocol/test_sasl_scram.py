"""SCRAM: the vectors of the RFCs, an independent client, and everything that goes wrong."""

import base64
import hashlib
import hmac
import re

import pytest
import scramp
from hypothesis import given
from hypothesis import strategies as st

from stonechat.auth import decoy_scram, derive_scram
from stonechat.errors import SaslFailure
from stonechat.jid import JID
from stonechat.protocol.sasl import scram
from stonechat.protocol.sasl.scram import ScramMechanism
from stonechat.sasl import Challenge, Success

DOMAIN = "capulet.example"
HASHES = ("SHA-1", "SHA-256", "SHA-512")
END_POINT = {"tls-server-end-point": b"hash of the certificate"}
JULIET = JID.parse("juliet@capulet.example")


class Accounts:
    """A store with a few accounts, which notes what it is asked."""

    def __init__(self, passwords, salt=b"sixteen octets !", iterations=4096):
        self.stored = {
            (localpart, hash_name): derive_scram(password, hash_name, salt, iterations)
            for localpart, password in passwords.items()
            for hash_name in HASHES
        }
        self.iterations = iterations
        self.asked = []

    def check_password(self, localpart, password):
        raise AssertionError("SCRAM needs no password")

    def scram_credentials(self, localpart, hash_name):
        self.asked.append((localpart, hash_name))
        return self.stored.get((localpart, hash_name))

    def decoy_credentials(self, localpart, hash_name):
        return decoy_scram(b"secret", localpart, hash_name, self.iterations)

    def certificate_accounts(self):
        return ()


ACCOUNTS = Accounts({"juliet": "wherefore", "user": "pencil", "a,b=c": "wherefore"})


def mechanism(name="SCRAM-SHA-256", *, accounts=ACCOUNTS, bindings=None, plus_offered=None):
    if bindings is None:
        bindings = END_POINT if name.endswith("-PLUS") else {}
    if plus_offered is None:
        plus_offered = bool(bindings)
    advertised = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256") if plus_offered else ()
    return ScramMechanism(name, DOMAIN, accounts, bindings=bindings, advertised=advertised)


def fails(server, message):
    with pytest.raises(SaslFailure) as raised:
        server.step(message)
    return raised.value.condition


def final_message(challenge, *, without_proof=None, bare="n=juliet,r=abc"):
    """What Juliet's client with SCRAM-SHA-256 answers, but for what a test changes."""
    nonce, salt, iterations = re.match(r"r=(.+),s=([^,]+),i=([0-9]+)", challenge).groups()
    if without_proof is None:
        without_proof = f"c=biws,r={nonce}"
    salted = hashlib.pbkdf2_hmac("sha256", b"wherefore", base64.b64decode(salt), int(iterations))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    signature = hmac.digest(stored_key, f"{bare},{challenge},{without_proof}".encode(), "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()


def test_the_exchange_of_rfc_5802_section_5(monkeypatch):
    monkeypatch.setattr(scram, "new_nonce", lambda: "3rfcNHYJY1ZVvWVs7j")
    accounts = Accounts({"user": "pencil"}, base64.b64decode("QSXCR+Q6sek8bf92"), 4096)
    server = mechanism("SCRAM-SHA-1", accounts=accounts)
    assert server.step(b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL") == Challenge(
        b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
    )
    assert server.step(
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
    ) == Success(JID.parse("user@capulet.example"), b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")


def test_the_exchange_of_rfc_7677_section_3(monkeypatch):
    monkeypatch.setattr(scram, "new_nonce", lambda: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    accounts = Accounts({"user": "pencil"}, base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    server = mechanism("SCRAM-SHA-256", accounts=accounts)
    assert server.step(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO") == Challenge(
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    assert server.step(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    ) == Success(
        JID.parse("user@capulet.example"), b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    )


def test_the_exchange_of_xep_0474_section_5_3(monkeypatch):
    monkeypatch.setattr(scram, "new_nonce", lambda: "a09117a6-ac50-4f2f-93f1-93799c2bddf6")
    accounts = Accounts({"user": "pencil"}, base64.b64decode("QSXCR+Q6sek8bf92"), 4096)
    server = ScramMechanism(
        "SCRAM-SHA-1-PLUS",
        DOMAIN,
        accounts,
        bindings={
            "tls-server-end-point": b"another",
            "tls-exporter": b"THIS IS FAKE CB DATA",
        },
        advertised=("SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"),
    )
    nonce = "12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6"
    assert server.step(f"p=tls-exporter,,n=user,r={nonce}".encode()) == Challenge(
        b"r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,"
        b"s=QSXCR+Q6sek8bf92,i=4096,h=G6k/rBLDqgOhRRaCuuatSDFkJ08="
    )
    assert server.step(
        b"c=cD10bHMtZXhwb3J0ZXIsLFRISVMgSVMgRkFLRSBDQiBEQVRB,"
        b"r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,"
        b"x=19C6532F-1CF4-4A27-A18D-DC9CEA41BBB3,p=M/SIDjT+dfcxUh89jZEypRvFxB4="
    ) == Success(JID.parse("user@capulet.example"), b"v=MQrMPvv7yv4x4Cq4W4Ih25EqS2c=")


@pytest.mark.parametrize(
    ("mechanisms", "types", "advertised"),
    [
        (("SCRAM-SHA-1", "PLAIN"), (), b"PLAIN\x1eSCRAM-SHA-1"),
        (
            ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1"),
            ("tls-unique", "tls-server-end-point"),
            (
                b"SCRAM-SHA-1\x1eSCRAM-SHA-256\x1eSCRAM-SHA-256-PLUS"
                b"\x1ftls-server-end-point\x1etls-unique"
            ),
        ),
    ],
)
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
def test_the_hash_is_of_what_was_advertised_in_order(mechanisms, types, advertised, digest):
    expected = base64.b64encode(hashlib.new(digest, advertised).digest()).decode()
    assert scram.downgrade_hash(mechanisms, types, digest) == expected


def test_types_of_binding_count_only_where_they_were_advertised():
    # Without a mechanism that binds none are (XEP-0440).
    server = ScramMechanism(
        "SCRAM-SHA-1", DOMAIN, ACCOUNTS, bindings=END_POINT, advertised=("SCRAM-SHA-1",)
    )
    challenge = server.step(b"n,,n=juliet,r=abc").data.decode()
    assert challenge.endswith(",h=" + scram.downgrade_hash(("SCRAM-SHA-1",), (), "sha1"))


def test_who_shows_the_client_less_cannot_forge_the_hash():
    advertised = ("SCRAM-SHA-512", "SCRAM-SHA-256")
    server = ScramMechanism("SCRAM-SHA-256", DOMAIN, ACCOUNTS, bindings={}, advertised=advertised)
    challenge = server.step(b"n,,n=juliet,r=abc").data.decode()
    honest = scram.downgrade_hash(advertised, (), "sha256")
    forged = challenge.replace(honest, scram.downgrade_hash(("SCRAM-SHA-256",), (), "sha256"))
    assert forged != challenge
    assert fails(server, final_message(forged)) == "not-authorized"


@pytest.mark.parametrize("plus", ["", "-PLUS"])
@pytest.mark.parametrize("hash_name", HASHES)
def test_an_independent_client_logs_in_and_believes_the_server(hash_name, plus):
    name = f"SCRAM-{hash_name}{plus}"
    binding = ("tls-server-end-point", END_POINT["tls-server-end-point"]) if plus else None
    client = scramp.ScramClient([name], "juliet", "wherefore", channel_binding=binding)
    server = mechanism(name)
    client.set_server_first(server.step(client.get_client_first().encode()).data.decode())
    success = server.step(client.get_client_final().encode())
    client.set_server_final(success.data.decode())
    assert success.account == JULIET


@pytest.mark.parametrize("plus", ["", "-PLUS"])
@pytest.mark.parametrize("hash_name", HASHES)
def test_an_independent_client_with_the_wrong_password_does_not(hash_name, plus):
    name = f"SCRAM-{hash_name}{plus}"
    binding = ("tls-server-end-point", END_POINT["tls-server-end-point"]) if plus else None
    client = scramp.ScramClient([name], "juliet", "therefore", channel_binding=binding)
    server = mechanism(name)
    client.set_server_first(server.step(client.get_client_first().encode()).data.decode())
    assert fails(server, client.get_client_final().encode()) == "not-authorized"


def test_an_independent_client_on_another_channel_does_not():
    """Somebody sits between the two, with a certificate of his own."""
    client = scramp.ScramClient(
        ["SCRAM-SHA-256-PLUS"],
        "juliet",
        "wherefore",
        channel_binding=("tls-server-end-point", b"hash of another certificate"),
    )
    server = mechanism("SCRAM-SHA-256-PLUS")
    client.set_server_first(server.step(client.get_client_first().encode()).data.decode())
    assert fails(server, client.get_client_final().encode()) == "not-authorized"


def log_in(server, header="n,,", bare="n=juliet,r=abc", binding=b"", extensions=""):
    challenge = server.step(f"{header}{bare}".encode()).data.decode()
    nonce = challenge.partition(",")[0]
    channel = base64.b64encode(header.encode() + binding).decode()
    return server.step(
        final_message(challenge, bare=bare, without_proof=f"c={channel},{nonce}{extensions}")
    )


def test_the_exporter_binds_an_exchange_to_tls_1_3():
    bindings = {"tls-exporter": b"x" * 32, **END_POINT}
    server = mechanism("SCRAM-SHA-256-PLUS", bindings=bindings)
    assert log_in(server, "p=tls-exporter,,", binding=b"x" * 32).account == JULIET


def test_the_data_of_another_binding_type_does_not_do():
    bindings = {"tls-exporter": b"x" * 32, **END_POINT}
    server = mechanism("SCRAM-SHA-256-PLUS", bindings=bindings)
    with pytest.raises(SaslFailure, match="wrong"):
        log_in(server, "p=tls-exporter,,", binding=END_POINT["tls-server-end-point"])


def test_the_session_is_named_by_the_server_not_by_the_clients_spelling():
    assert log_in(mechanism(), bare="n=JULIET,r=abc").account == JULIET


def test_commas_and_equals_signs_in_names_are_escaped():
    success = log_in(mechanism(), bare="n=a=2Cb=3Dc,r=abc")
    assert success.account.localpart == "a,b=c"


@pytest.mark.parametrize("authzid", ["juliet@capulet.example", "Juliet@Capulet.Example"])
def test_an_account_may_name_itself_as_authorization_identity(authzid):
    assert log_in(mechanism(), f"n,a={authzid},").account == JULIET


def test_unknown_optional_extensions_are_passed_over_and_signed():
    success = log_in(mechanism(), bare="n=juliet,r=abc,x=y,D=z=z", extensions=",t=1")
    assert success.account == JULIET


def test_a_client_that_can_bind_may_log_in_where_nothing_was_offered():
    assert log_in(mechanism(plus_offered=False), "y,,").account == JULIET


def test_a_client_that_cannot_bind_may_log_in_where_binding_was_offered():
    assert log_in(mechanism(plus_offered=True), "n,,").account == JULIET


def test_the_servers_part_of_the_nonce_is_new_each_time_and_long():
    nonces = set()
    for _ in range(3):
        challenge = mechanism().step(b"n,,n=juliet,r=abc").data.decode()
        nonces.add(challenge.partition(",")[0].removeprefix("r=abc"))
    assert len(nonces) == 3
    assert min(map(len, nonces)) >= 32  # 192 bits


def test_a_client_that_was_kept_from_seeing_plus_is_told_by_failure():
    server = mechanism(plus_offered=True)
    assert fails(server, b"y,,n=juliet,r=abc") == "not-authorized"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("SCRAM-SHA-256", b"p=tls-server-end-point,,"),
        ("SCRAM-SHA-256-PLUS", b"n,,"),
    ],
)
def test_flag_and_mechanism_must_say_the_same(name, header):
    server = mechanism(name, bindings=END_POINT)
    assert fails(server, header + b"n=juliet,r=abc") == "malformed-request"


@pytest.mark.parametrize("binding_type", [b"tls-unique", b"TLS-SERVER-END-POINT"])
def test_a_binding_type_that_is_not_offered_fails(binding_type):
    server = mechanism("SCRAM-SHA-256-PLUS")
    assert fails(server, b"p=" + binding_type + b",,n=juliet,r=abc") == "not-authorized"


def test_the_header_cannot_be_changed_between_the_messages():
    """Somebody in between turned the client's "y" into "n"."""
    server = mechanism()
    challenge = server.step(b"n,,n=juliet,r=abc").data.decode()
    nonce = challenge.partition(",")[0]
    channel = base64.b64encode(b"y,,").decode()
    message = final_message(challenge, without_proof=f"c={channel},{nonce}")
    assert fails(server, message) == "not-authorized"


@pytest.mark.parametrize(
    "authzid",
    [
        "romeo@capulet.example",
        "juliet@montague.example",
        "juliet@capulet.example/balcony",
        "juliet",
        "capulet.example",
        "@",
        "not an@address@at all",
    ],
)
def test_nobody_acts_for_another(authzid):
    message = f"n,a={authzid},n=juliet,r=abc".encode()
    assert fails(mechanism(), message) == "invalid-authzid"


@pytest.mark.parametrize("username", ["not a localpart", "juliet@capulet.example", "x" * 1024])
def test_a_name_that_no_account_can_have_is_not_authorized(username):
    server = mechanism()
    assert fails(server, f"n,,n={username},r=abc".encode()) == "not-authorized"
    assert server.localpart == ""


def test_the_account_of_an_attempt_is_known_for_the_throttle():
    server = mechanism()
    server.step(b"n,,n=JULIET,r=abc")
    assert server.localpart == "juliet"


def shape(challenge):
    nonce, salt, iterations = challenge.data.decode().split(",")
    return len(nonce), len(salt), iterations


@pytest.mark.parametrize("name", ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_unknown_and_known_accounts_answer_alike(name):
    known, unknown = mechanism(name), mechanism(name)
    greeted = known.step(b"n,,n=juliet,r=abc"), unknown.step(b"n,,n=tybal,r=abc")
    assert shape(greeted[0]) == shape(greeted[1])
    size = {"SCRAM-SHA-1": 20, "SCRAM-SHA-256": 32, "SCRAM-SHA-512": 64}[name]
    failures = []
    for server, challenge in zip((known, unknown), greeted, strict=True):
        nonce = challenge.data.partition(b",")[0]
        proof = base64.b64encode(bytes(size))
        with pytest.raises(SaslFailure) as raised:
            server.step(b"c=biws," + nonce + b",p=" + proof)
        failures.append((raised.value.condition, raised.value.text))
    assert failures[0] == failures[1]
    assert failures[0][0] == "not-authorized"


def test_unknown_and_known_accounts_cost_the_same_work(monkeypatch):
    counts = {}
    for localpart in ("juliet", "tybalt"):
        calls = []
        digest, compare = hmac.digest, hmac.compare_digest
        with monkeypatch.context() as patch:
            patch.setattr(hmac, "digest", lambda *a, f=digest, c=calls: c.append(1) or f(*a))
            patch.setattr(
                hmac, "compare_digest", lambda *a, f=compare, c=calls: c.append(2) or f(*a)
            )
            server = mechanism()
            challenge = server.step(f"n,,n={localpart},r=abc".encode())
            nonce = challenge.data.partition(b",")[0]
            fails(server, b"c=biws," + nonce + b",p=" + base64.b64encode(bytes(32)))
        counts[localpart] = calls
    assert counts["juliet"] == counts["tybalt"]
    assert len(counts["juliet"]) > 3


def test_an_unknown_account_shows_the_same_salt_each_time():
    salts = {
        mechanism().step(f"n,,n={name},r=abc".encode()).data.decode().split(",")[1]
        for name in ("tybalt", "Tybalt", "tybalt")
    }
    assert len(salts) == 1


def test_no_proof_opens_an_unknown_account():
    """Not even with the decoy's own keys, which here are no secret."""

    class Leaky(Accounts):
        def decoy_credentials(self, localpart, hash_name):
            return derive_scram("wherefore", hash_name, b"salt", 10)

    with pytest.raises(SaslFailure, match="wrong"):
        log_in(mechanism(accounts=Leaky({})), bare="n=tybalt,r=abc")


def test_the_account_is_looked_up_by_its_prepared_name():
    accounts = Accounts({"juliet": "wherefore"})
    mechanism(accounts=accounts).step(b"n,,n=JULIET,r=abc")
    assert accounts.asked == [("juliet", "SHA-256")]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n",
        b"n,",
        b"n,,",
        b"n,,n=juliet",
        b"n,,r=abc",
        b"n,,n=,r=abc",
        b"n,,n=juliet,r=",
        b"n,,r=abc,n=juliet",
        b"n,,n=juliet,r=abc,",
        b"n,,n=juliet,r=abc,x",
        b"n,,n=juliet,r=abc,x=",
        b"n,,n=juliet,r=abc,1=x",
        b"n,,n=juliet,r=abc,n=romeo",
        b"n,,n=juliet,r=abc,r=def",
        b"n,,m=must,n=juliet,r=abc",
        b"n,,n=juliet,r=abc,m=must",
        b"n,,n=jul\0iet,r=abc",
        b"n,,n=juliet,r=a bc",
        b"n,,n=juliet,r=ab\x7fc",
        b"n,,n=juliet,r=\xc3\xa9",
        b"n,,n=juliet,r=abc\n",
        b"n,,n=jul=iet,r=abc",
        b"n,,n=jul=2ciet,r=abc",
        b"n,,n=juliet=,r=abc",
        b"n,a=jul=iet,n=juliet,r=abc",
        b"n,a=,n=juliet,r=abc",
        b"n,juliet,n=juliet,r=abc",
        b"N,,n=juliet,r=abc",
        b"p,,n=juliet,r=abc",
        b"p=,,n=juliet,r=abc",
        b"p=tls_exporter,,n=juliet,r=abc",
        b"n=x,,n=juliet,r=abc",
        b"n,,n=jul\xffiet,r=abc",
        b"\xef\xbb\xbfn,,n=juliet,r=abc",
    ],
)
def test_a_malformed_first_message_is_refused(message):
    assert fails(mechanism(plus_offered=False), message) == "malformed-request"


PROOF = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "template",
    [
        "",
        "c=biws",
        "c=biws,r={nonce}",
        "r={nonce},c=biws,p={proof}",
        "c=,r={nonce},p={proof}",
        "c=biws,r=,p={proof}",
        "c=biws,r={nonce},p=",
        "c=biws,r={nonce},p={proof},x=y",
        "c=biws,r={nonce},m=must,p={proof}",
        "c=biws,r={nonce},c=biws,p={proof}",
        "c=biw,r={nonce},p={proof}",
        "c=bi=s,r={nonce},p={proof}",
        "c=biws,r={nonce},p=AAAA",
        "c=biws,r={nonce},p={proof}AAAA",
        "c=biws,r={nonce},p=====",
        "c=biws,r={nonce},p=AB==",
        "c=bi ws,r={nonce},p={proof}",
        "c=biws,r={nonce},x=\0,p={proof}",
        "c=biws,r={nonce},p={proof}\n",
        "n,,n=juliet,r=abc",
    ],
)
def test_a_malformed_final_message_is_refused(template):
    server = mechanism()
    nonce = server.step(b"n,,n=juliet,r=abc").data.decode().partition(",")[0][2:]
    message = template.format(nonce=nonce, proof=PROOF).encode()
    assert fails(server, message) == "malformed-request"


def test_a_final_message_that_is_not_utf_8_is_refused():
    server = mechanism()
    server.step(b"n,,n=juliet,r=abc")
    assert fails(server, b"\xff") == "malformed-request"


@pytest.mark.parametrize("change", [lambda nonce: "abc", lambda nonce: nonce + "x"])
def test_another_nonce_is_not_authorized_even_with_its_proof(change):
    server = mechanism()
    challenge = server.step(b"n,,n=juliet,r=abc").data.decode()
    nonce = change(challenge.partition(",")[0].removeprefix("r="))
    message = final_message(challenge, without_proof=f"c=biws,r={nonce}")
    assert fails(server, message) == "not-authorized"


def test_a_recorded_login_cannot_be_played_again():
    server = mechanism()
    challenge = server.step(b"n,,n=juliet,r=abc").data.decode()
    recorded = final_message(challenge)
    assert server.step(recorded).account == JULIET
    again = mechanism()
    again.step(b"n,,n=juliet,r=abc")
    assert fails(again, recorded) == "not-authorized"


PIECES = st.sampled_from(
    [
        *(b"n", b"y", b"p=", b"tls-exporter", b",", b"a=", b"n=", b"r=", b"juliet", b"@", b"=2C"),
        *(b"=", b"m=", b"x=y", b"abc", b"\0", b"\xff", "é".encode(), b"c=", b"biws", b"AAAA"),
    ]
)
MESSAGES = st.binary(max_size=60) | st.lists(PIECES, max_size=14).map(b"".join)


@given(MESSAGES, MESSAGES)
@pytest.mark.parametrize("name", ["SCRAM-SHA-1", "SCRAM-SHA-512-PLUS"])
def test_nothing_but_a_sasl_failure_comes_out_of_any_input(name, first, final):
    server = mechanism(name)
    try:
        assert isinstance(server.step(first), Challenge)
    except SaslFailure:
        return
    with pytest.raises(SaslFailure):
        server.step(final)


@given(MESSAGES)
def test_nothing_but_a_sasl_failure_comes_out_of_any_final_message(final):
    server = mechanism()
    nonce = server.step(b"n,,n=juliet,r=abc").data.partition(b",")[0]
    for message in (final, b"c=biws," + nonce + b"," + final):
        with pytest.raises(SaslFailure):
            server.step(message)
