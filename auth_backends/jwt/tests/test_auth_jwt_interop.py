"""slixmpp logs in with a signed token, over a server that is a process of its own."""

import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from stonechat.testing import LoginFailed

JULIET = "juliet@capulet.example"


@pytest.fixture
def signer():
    return ed25519.Ed25519PrivateKey.generate()


def public(signer):
    return signer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def start(stonechat_process, signer, tmp_path):
    file = tmp_path / "key.pem"
    file.write_bytes(public(signer))

    def start(*auth, **options):
        given = {"jwt": {"key": str(file), **options}}
        if "internal" in auth:
            given["internal"] = {"iterations": 4096}
        return stonechat_process(
            {
                "hosts": {"capulet.example": {}},
                "auth": list(auth),
                "auth_options": given,
                "plugins": {"roster": {}, "offline": {}, "private": {}},
            }
        )

    return start


def token(signer, account=JULIET, seconds=60):
    claims = {"jid": account, "exp": int(time.time()) + seconds}
    return jwt.encode(claims, signer, "EdDSA")


def test_slixmpp_logs_in_by_a_token_and_gets_what_was_sent_meanwhile(
    start, slixmpp, signer, tmp_path
):
    process = start("internal", "jwt")
    process.register("romeo@capulet.example")
    romeo = slixmpp.available(process, "romeo@capulet.example/orchard")
    slixmpp.login(process, f"{JULIET}/balcony", password=token(signer)).leave()
    romeo.say(JULIET, "Wherefore art thou gone?")
    romeo.sync()
    juliet = slixmpp.available(process, f"{JULIET}/balcony", password=token(signer))
    assert juliet.message()["body"] == "Wherefore art thou gone?"
    for bad in (token(signer, seconds=-60), token(signer, "romeo@capulet.example")):
        with pytest.raises(LoginFailed):
            slixmpp.login(process, f"{JULIET}/street", password=bad)
    # Another key is in force at the next login.
    new = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(public(new))
    assert slixmpp.login(process, f"{JULIET}/chamber", password=token(new)).bare == JULIET
    with pytest.raises(LoginFailed):
        slixmpp.login(process, f"{JULIET}/street", password=token(signer))
    assert process.faults == []
