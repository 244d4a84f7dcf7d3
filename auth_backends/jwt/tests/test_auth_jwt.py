"""Tokens: what opens an account, and every way in which one does not."""

import base64
import hmac
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import get_default_algorithms

from stonechat.errors import ConfigError, StorageError
from stonechat.testing import AuthBackendContract
from stonechat_auth_jwt import Backend, Options

JULIET = "juliet@capulet.example"
SECRET = "a secret of thirty-two octets at the least"

# Made once: the first of them takes its time.
SIGNERS = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
OTHERS = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def pem(private):
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(algorithm, private, **more):
    public = get_default_algorithms()[algorithm].to_jwk(private.public_key(), as_dict=True)
    return {**public, **more}


def token(algorithm="ES256", signer=None, headers=None, **claims):
    """A token of Juliet's for a minute; a claim of None is left out."""
    claims = {"jid": JULIET, "exp": int(time.time()) + 60, **claims}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, signer or SIGNERS[algorithm], algorithm, headers=headers)


class Bystander:
    def __init__(self, host, options):
        self.host = host


@pytest.fixture
def host(server):
    host = server.host("capulet.example", plugin_classes={"bystander": Bystander})
    face = host.plugin("bystander").host
    face.storage.ensure(Backend.schema)
    return face


@pytest.fixture
def make(host, tmp_path):
    def make(content=None, **options):
        file = tmp_path / "key"
        if content is None:
            content = pem(SIGNERS["ES256"])
        if isinstance(content, dict):
            content = json.dumps(content).encode()
        file.write_bytes(content)
        backend = Backend(host, Options(key=file, **options))
        backend.start()
        return backend

    return make


class TestJwt(AuthBackendContract):
    @pytest.fixture
    def backend(self, make):
        self.password = token()
        return make()

    @pytest.fixture
    def account(self, backend):
        assert backend.check_password(self.localpart, self.password)
        return self.localpart


# Keys and algorithms


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "EdDSA"])
@pytest.mark.parametrize("form", ["pem", "jwk", "jwks"])
def test_a_token_signed_by_the_key_opens_the_account(make, algorithm, form):
    signer = SIGNERS[algorithm]
    content = {
        "pem": pem(signer),
        "jwk": jwk(algorithm, signer),
        "jwks": {"keys": [jwk(algorithm, signer, kid="1", use="sig", alg=algorithm)]},
    }[form]
    backend = make(content, algorithms=[algorithm])
    assert backend.check_password("juliet", token(algorithm))
    assert not backend.check_password("juliet", token(algorithm)[:-4] + "AAAA")


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_token_signed_by_the_secret_opens_the_account(make, algorithm):
    secret = "x" * 64
    backend = make(f"{secret}\n".encode(), algorithms=[algorithm])
    assert backend.check_password("juliet", token(algorithm, secret))
    assert not backend.check_password("juliet", token(algorithm, "y" * 64))


def test_a_secret_can_be_in_a_set_of_keys(make):
    encoded = base64.urlsafe_b64encode(SECRET.encode()).rstrip(b"=").decode()
    backend = make({"keys": [{"kty": "oct", "k": encoded}]}, algorithms=["HS256"])
    assert backend.check_password("juliet", token("HS256", SECRET))


def test_another_key_opens_nothing(make):
    assert not make().check_password("juliet", token("ES256", OTHERS["ES256"]))


def by_hand(header, claims, signature=b""):
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


CLAIMS = {"jid": JULIET, "exp": 4102444800}


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
def test_a_token_without_a_signature_opens_nothing(make, name):
    backend = make()
    assert not backend.check_password("juliet", by_hand({"alg": name}, CLAIMS))
    assert not backend.check_password("juliet", by_hand({"alg": name}, CLAIMS, b"x"))


def test_a_public_key_is_not_taken_for_a_secret(make):
    # Algorithm confusion: signed by what everybody may know.
    public = pem(SIGNERS["RS256"])
    unsigned = by_hand({"alg": "HS256", "typ": "JWT"}, CLAIMS).rstrip(".")
    signature = hmac.digest(public, unsigned.encode(), "sha256")
    forged = f"{unsigned}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert not make(public, algorithms=["RS256"]).check_password("juliet", forged)
    with pytest.raises(ConfigError, match="no secret"):
        make(public, algorithms=["HS256"])
    with pytest.raises(ConfigError, match="go with no others"):
        make(public, algorithms=["RS256", "HS256"])


def test_an_algorithm_that_is_not_configured_opens_nothing(make):
    keys = {"keys": [jwk("ES256", SIGNERS["ES256"]), jwk("EdDSA", SIGNERS["EdDSA"])]}
    backend = make(keys, algorithms=["EdDSA"])
    assert backend.check_password("juliet", token("EdDSA"))
    assert not backend.check_password("juliet", token("ES256"))


def test_a_secret_is_for_the_algorithms_that_are_configured(make):
    backend = make(b"x" * 64, algorithms=["HS256", "HS384"])
    assert backend.check_password("juliet", token("HS384", "x" * 64))
    assert not backend.check_password("juliet", token("HS512", "x" * 64))


def test_a_key_in_the_token_opens_nothing(make):
    own = jwk("ES256", OTHERS["ES256"])
    for headers in ({"jwk": own}, {"jku": "https://rosaline.example/keys"}, {"x5u": "file:///x"}):
        assert not make().check_password("juliet", token("ES256", OTHERS["ES256"], headers))


def test_the_token_names_its_key(make):
    keys = {
        "keys": [
            jwk("ES256", OTHERS["ES256"], kid="old"),
            jwk("ES256", SIGNERS["ES256"], kid="new"),
        ]
    }
    backend = make(keys)
    assert backend.check_password("juliet", token(headers={"kid": "new"}))
    assert not backend.check_password("juliet", token(headers={"kid": "old"}))
    assert not backend.check_password("juliet", token(headers={"kid": "../../new"}))
    assert backend.check_password("juliet", token())


@pytest.mark.parametrize(
    "wrong", [{"use": "enc"}, {"key_ops": ["sign"]}, {"key_ops": 7}, {"alg": "ES384"}]
)
def test_a_key_for_something_else_is_not_used(make, wrong):
    with pytest.raises(ConfigError, match="no key for ES256"):
        make(jwk("ES256", SIGNERS["ES256"], **wrong), algorithms=["ES256"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "neither a public key"),
        (b"{", "not JSON"),
        (b'{"keys": 7}', "at most 50"),
        (b'{"keys": [7, {}, {"kty": "oct", "k": 7}]}', "no key for"),
        (b"x" * (1 << 21), "too large"),
        (pem(rsa.generate_private_key(65537, 1024)), "long enough"),  # noqa: S505
        (
            SIGNERS["ES256"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "private key",
        ),
        (
            json.dumps(
                get_default_algorithms()["ES256"].to_jwk(SIGNERS["ES256"], as_dict=True)
            ).encode(),
            "private key",
        ),
    ],
)
def test_a_file_without_a_good_key_stops_the_start(make, content, reason):
    with pytest.raises(ConfigError, match=reason):
        make(content)


def test_a_short_secret_stops_the_start(make):
    with pytest.raises(ConfigError, match="long enough"):
        make(b"secret", algorithms=["HS256"])


def test_a_file_that_is_not_there_stops_the_start(host, tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        Backend(host, Options(key=tmp_path / "nowhere")).start()


def test_new_keys_are_seen_and_bad_ones_leave_the_old_in_force(server, make, tmp_path):
    backend = make()
    server.expect_errors()
    file = tmp_path / "key"
    file.write_bytes(b"rubbish")
    assert backend.check_password("juliet", token())
    assert backend.check_password("juliet", token())
    assert len(server.logged("no new keys for tokens")) == 1
    file.unlink()
    assert backend.check_password("juliet", token())
    assert backend.check_password("juliet", token())
    assert len(server.logged("no new keys for tokens")) == 2
    file.write_bytes(pem(OTHERS["ES256"]))
    assert not backend.check_password("juliet", token())
    assert backend.check_password("juliet", token("ES256", OTHERS["ES256"]))
    assert len(server.logged("other keys for tokens")) == 1


# When, and for whom


def now(seconds):
    return int(time.time()) + seconds


@pytest.mark.parametrize(
    "wrong",
    [
        {"exp": None},
        {"exp": now(-3600)},
        {"exp": "never"},
        {"exp": [1]},
        {"exp": 0},
        {"nbf": now(86400)},
        {"nbf": "soon"},
        {"iat": now(86400)},
        {"aud": "somebody else"},
    ],
)
def test_a_token_that_is_not_in_force_opens_nothing(make, wrong):
    assert not make().check_password("juliet", token(**wrong))


def test_a_clock_may_differ_a_little(make):
    assert make(leeway="1 min").check_password("juliet", token(exp=now(-30), nbf=now(30)))
    assert not make(leeway=0).check_password("juliet", token(exp=now(-5)))


def test_the_audience_is_one_of_ours(make):
    backend = make(audience=["xmpp", "chat"])
    assert backend.check_password("juliet", token(aud="chat"))
    assert backend.check_password("juliet", token(aud=["mail", "xmpp"]))
    for wrong in (None, "mail", ["mail"], [], 7, {"xmpp": 1}, ["xmpp", 7]):
        assert not backend.check_password("juliet", token(aud=wrong))


def test_the_issuer_is_the_one_that_we_trust(make):
    backend = make(issuer="https://friar.example/")
    assert backend.check_password("juliet", token(iss="https://friar.example/"))
    for wrong in (None, "https://friar.example", "https://tybalt.example/"):
        assert not backend.check_password("juliet", token(iss=wrong))


@pytest.mark.parametrize(
    "claim",
    [
        *("romeo@capulet.example", "juliet@montague.example", "capulet.example", "juliet", ""),
        *("juliet@capulet.example@x", "@capulet.example", "juliet\0@capulet.example"),
        *(7, None, [JULIET], {"jid": JULIET}, True),
    ],
)
def test_a_token_opens_the_account_that_it_names_and_no_other(make, claim):
    assert not make().check_password("juliet", token(jid=claim))


def test_the_claim_is_prepared_as_addresses_are(make):
    assert make().check_password("juliet", token(jid="Juliet@CAPULET.example/balcony"))


def test_the_claim_may_be_another_one_and_hold_the_name_only(make):
    backend = make(claim="sub", user="username")
    assert backend.check_password("juliet", token(jid=None, sub="Juliet"))
    for wrong in ("romeo", "juliet@capulet.example", ""):
        assert not backend.check_password("juliet", token(jid=None, sub=wrong))


def test_a_pattern_takes_the_name_out_of_the_claim(make):
    backend = make(claim="sub", user="username", pattern=r"auth0\|(?P<user>[a-z]+)")
    assert backend.check_password("juliet", token(sub="auth0|juliet"))
    for wrong in ("juliet", "auth0|juliet ", "x auth0|juliet", "auth0|", "auth0|romeo"):
        assert not backend.check_password("juliet", token(sub=wrong))


@pytest.mark.parametrize("pattern", ["(", "user", "(?P<name>.*)"])
def test_a_bad_pattern_stops_the_start(make, pattern):
    with pytest.raises(ConfigError, match="pattern"):
        make(pattern=pattern)


# Rubbish


@pytest.mark.parametrize(
    "text",
    [
        *("..", "a.b.c", "R0m30", "x" * 100_000, "é.é.é", "\ud800", "....", " ", "=.=.="),
        by_hand({"alg": "ES256"}, CLAIMS)[:-1],
        by_hand({"alg": 7}, CLAIMS, b"x" * 64),
        by_hand({"alg": "ES256", "kid": 7}, CLAIMS, b"x" * 64),
        by_hand({"alg": "ES256", "kid": ["x"]}, CLAIMS, b"x" * 64),
        by_hand({"alg": "ES256", "crit": ["x"], "x": 1}, CLAIMS, b"x" * 64),
        by_hand([], CLAIMS, b"x" * 64),
        base64.urlsafe_b64encode(b"[" * 5000).decode().rstrip("=") + ".e30.eA",
        base64.urlsafe_b64encode(b'{"alg":' * 800).decode().rstrip("=") + ".e30.eA",
    ],
)
def test_rubbish_opens_nothing_and_breaks_nothing(server, make, text):
    backend = make()
    assert not backend.check_password("juliet", text)
    assert not server.errors


def test_signed_rubbish_opens_nothing(make):
    payloads = (b"[]", b"7", b"{", b'"' + JULIET.encode() + b'"', b"[" * 3000)
    for payload in payloads:
        signed = jwt.PyJWS().encode(payload, SIGNERS["ES256"], "ES256")
        assert not make().check_password("juliet", signed)


def test_the_log_tells_why_and_not_what(server, make):
    backend = make()
    bad = token(jid="romeo@capulet.example")
    assert not backend.check_password("juliet", bad)
    assert not backend.check_password("juliet", token(exp=now(-60)))
    reasons = [record["reason"] for record in server.logged("token refused")]
    assert reasons == ["it is another's", "Signature has expired"]
    assert bad not in str(server.logged())


# Who exists


def test_who_has_logged_in_exists(host, make, tmp_path):
    backend = make()
    assert not backend.user_exists("juliet")
    assert not backend.check_password("juliet", token(exp=now(-60)))
    assert not backend.user_exists("juliet")
    assert backend.check_password("juliet", token())
    again = make()
    assert again.user_exists("juliet")
    assert again.users() == ["juliet"]
    assert again.count_users() == 1


def test_who_exists_can_be_left_open(make):
    assert make(existence="none").capabilities == {"check_password"}


def test_a_login_that_cannot_be_noted_is_not_let_in(host, make, monkeypatch):
    backend = make()

    def fail(*arguments, **options):
        raise StorageError("the disk is gone")

    monkeypatch.setattr(host._kernel.storage, "write", fail)
    with pytest.raises(StorageError):
        backend.check_password("juliet", token())


# In a server


def test_a_token_is_a_password_beside_others(server, tmp_path):
    (tmp_path / "key").write_bytes(pem(SIGNERS["ES256"]))
    server.configure(auth=["testing", "jwt"], auth_options={"jwt": {"key": str(tmp_path / "key")}})
    host = server.host("capulet.example")
    romeo = host.connect("romeo@capulet.example/orchard", "R0m30")
    stream = host.open_stream(tls=True)
    assert stream.authenticate("juliet", token()).name == "success"
    assert host.open_stream(tls=True).authenticate("romeo", token()).name == "failure"
    assert host.kernel.accounts.exists("juliet")
    assert romeo.jid.localpart == "romeo"


def test_who_came_with_a_token_may_come_back_without_one(server, tmp_path):
    # XEP-0484, whose tokens need an account that exists.
    (tmp_path / "key").write_bytes(pem(SIGNERS["ES256"]))
    server.configure(auth=["jwt"], auth_options={"jwt": {"key": str(tmp_path / "key")}})
    host = server.host("capulet.example", sasl2={}, fast={})
    agent = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>"
    stream = host.open_stream(tls=True)
    first = base64.b64encode(b"\0juliet\0" + token().encode()).decode()
    stream.send(
        f"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>"
        f"<initial-response>{first}</initial-response>{agent}"
        f"<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/></authenticate>"
    )
    fast = stream.receive().find("token", "urn:xmpp:fast:0").get("token")
    proof = hmac.digest(fast.encode(), b"Initiator", "sha256")
    again = base64.b64encode(b"juliet\0" + proof).decode()
    stream = host.open_stream(tls=True)
    stream.send(
        f"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-NONE'>"
        f"<initial-response>{again}</initial-response>{agent}"
        f"<fast xmlns='urn:xmpp:fast:0'/></authenticate>"
    )
    assert stream.receive().name == "success"
