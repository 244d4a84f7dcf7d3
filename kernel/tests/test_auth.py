"""Passwords, SCRAM credentials, and the base class of auth backends."""

import base64
import hashlib
import hmac

import pytest
import scramp
from hypothesis import given
from hypothesis import strategies as st

import stonechat.options
from stonechat.auth import (
    CAPABILITIES,
    MAX_PASSWORD_OCTETS,
    SCRAM_HASHES,
    AccountExists,
    AccountNotFound,
    AuthBackend,
    AuthUnavailable,
    BadPassword,
    Credentials,
    ScramCredentials,
    Secret,
    Unsupported,
    check_against_scram,
    decoy_scram,
    derive_scram,
    prepare_password,
    scram_from_salted,
)
from stonechat.errors import StonechatError, StorageError
from stonechat.options import PluginOptions

SALT = base64.b64decode("QSXCR+Q6sek8bf92")
SECRET = b"a secret of the cluster"


@pytest.mark.parametrize("hash_name", ["SHA-1", "SHA-256", "SHA-512"])
def test_credentials_are_those_that_an_independent_library_derives(hash_name):
    ours = derive_scram("pencil", hash_name, SALT, 4096)
    _, stored_key, server_key, _ = scramp.ScramMechanism(f"SCRAM-{hash_name}").make_auth_info(
        "pencil", iteration_count=4096, salt=SALT
    )
    assert (ours.stored_key, ours.server_key) == (stored_key, server_key)
    assert (ours.hash_name, ours.salt, ours.iterations) == (hash_name, SALT, 4096)


def test_each_password_gets_a_salt_of_its_own():
    salts = {derive_scram("pencil", "SHA-1", iterations=1).salt for _ in range(3)}
    assert len(salts) == 3
    assert {len(salt) for salt in salts} == {16}


def test_a_password_is_checked_against_its_credentials():
    credentials = derive_scram("pencil", "SHA-256", SALT, 10)
    assert check_against_scram("pencil", credentials)
    assert not check_against_scram("Pencil", credentials)


@pytest.mark.parametrize("password", ["", "\0", "x" * 5000, "\ud800"])
def test_a_password_that_nobody_can_have_is_wrong_and_no_error(password):
    assert not check_against_scram(password, derive_scram("pencil", "SHA-1", SALT, 1))


def test_credentials_do_not_show_their_keys():
    credentials = derive_scram("pencil", "SHA-1", SALT, 1)
    shown = f"{credentials!r} {credentials}"
    assert "key" not in shown
    assert repr(credentials.stored_key) not in shown


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (("MD5", SALT, 4096, b"k" * 16, b"k" * 16), "MD5"),
        (("SHA-1", b"", 4096, b"k" * 20, b"k" * 20), "salt"),
        (("SHA-1", SALT, 0, b"k" * 20, b"k" * 20), "0 iterations"),
        (("SHA-1", SALT, 4096, b"k" * 19, b"k" * 20), "20 octets"),
        (("SHA-256", SALT, 4096, b"k" * 32, b"k" * 20), "32 octets"),
    ],
)
def test_broken_credentials_cannot_be_made(fields, said):
    with pytest.raises(ValueError, match=said):
        ScramCredentials(*fields)


def test_an_unknown_hash_is_refused():
    with pytest.raises(ValueError, match="MD5"):
        derive_scram("pencil", "MD5")


@pytest.mark.parametrize(
    ("typed", "prepared"),
    [
        # RFC 4013, section 3
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        # A German keyboard has a superscript two; clients hash a plain one.
        ("m²", "m2"),
        ("two words", "two words"),
        ("ideographic\u3000space", "ideographic space"),
        ("n\u0303", "ñ"),
        # Newer than Unicode 3.2, and without its variation selector.
        ("🔑🦀", "🔑🦀"),
        ("❤\ufe0f", "❤"),
        ("\u05d0\u05d1", "\u05d0\u05d1"),
        # SASLprep refuses two directions in one text, OpaqueString does not.
        ("\u05d0b1", "\u05d0b1"),
    ],
)
def test_a_password_is_prepared_as_its_client_prepares_it(typed, prepared):
    assert prepare_password(typed) == prepared
    assert check_against_scram(typed, derive_scram(prepared, "SHA-1", SALT, 1))


@given(st.text(min_size=1, max_size=12))
def test_whatever_an_independent_library_prepares_we_prepare_alike(password):
    try:
        theirs = scramp.ScramMechanism("SCRAM-SHA-1").make_auth_info(password, 4096, SALT)
    except scramp.ScramException:
        return
    ours = derive_scram(password, "SHA-1", SALT, 4096)
    assert (theirs[1], theirs[2]) == (ours.stored_key, ours.server_key)


@pytest.mark.parametrize(
    "password",
    [
        "",
        "\u00ad",  # nothing is left of it
        "bell\a",
        "nul\0",
        "line\nfeed",
        "private \ue000",
        "lone \ud800",
        "not a character \ufffe",
        "\u05d0\u05d1 left-to-right mark \u200e",
    ],
)
def test_a_password_that_cannot_be_typed_is_refused_without_being_quoted(password):
    with pytest.raises(BadPassword) as raised:
        prepare_password(password)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    assert "left-to-right" not in str(raised.value)


def test_the_length_of_a_password_is_bounded_in_octets():
    assert prepare_password("x" * MAX_PASSWORD_OCTETS)
    for password in ("x" * (MAX_PASSWORD_OCTETS + 1), "é" * (MAX_PASSWORD_OCTETS // 2 + 1)):
        with pytest.raises(BadPassword, match="1023 octets"):
            prepare_password(password)


@given(st.text(max_size=50))
def test_preparing_fails_in_one_way_only_and_leaves_ascii_as_it_is(password):
    try:
        prepared = prepare_password(password)
    except BadPassword:
        return
    assert prepared
    if password.isascii():
        assert prepared == password


def test_a_decoy_looks_the_same_whenever_it_is_asked_for():
    first = decoy_scram(SECRET, "mercutio", "SHA-256")
    second = decoy_scram(SECRET, "mercutio", "SHA-256")
    real = derive_scram("pencil", "SHA-256")
    assert first.salt == second.salt
    assert len(first.salt) == len(real.salt)
    assert first.iterations == real.iterations
    assert first.stored_key != second.stored_key  # what nobody knows, nobody proves


def test_decoys_differ_by_name_hash_and_secret():
    salts = {
        decoy_scram(secret, localpart, hash_name).salt
        for secret in (SECRET, b"another secret")
        for localpart in ("mercutio", "tybalt")
        for hash_name in ("SHA-1", "SHA-256", "SHA-512")
    }
    assert len(salts) == 12


def test_no_password_opens_a_decoy():
    assert not check_against_scram("pencil", decoy_scram(SECRET, "mercutio", "SHA-1", 1))


def test_passwords_are_compared_in_constant_time(monkeypatch):
    credentials = derive_scram("pencil", "SHA-1", SALT, 1)
    compared = []
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or a == b)
    assert not check_against_scram("wrong", credentials)
    assert len(compared) == 1


def test_a_secret_is_the_one_that_options_know():
    assert Secret is stonechat.options.Secret
    assert "wherefore" not in f"{Secret('wherefore')} {Secret('wherefore')!r}"


def test_errors_tell_the_kernel_what_kind_they_are():
    for error in (AccountExists, AccountNotFound, BadPassword, Unsupported):
        assert issubclass(error, StonechatError)
        assert not issubclass(error, StorageError)
    # What knows about stores being away knows about this one too.
    assert issubclass(AuthUnavailable, StorageError)


class DirectoryBackend(AuthBackend):
    """Can look and check, and nothing else."""

    def check_password(self, localpart, password):
        return (localpart, password) == ("juliet", "wherefore")

    def user_exists(self, localpart):
        return localpart == "juliet"


class HiddenDirectoryBackend(DirectoryBackend):
    @property
    def capabilities(self):
        return super().capabilities - {"user_exists"}


def test_a_backend_can_do_what_its_class_overrides():
    assert AuthBackend(None, PluginOptions()).capabilities == frozenset()
    assert DirectoryBackend(None, PluginOptions()).capabilities == {
        "check_password",
        "user_exists",
    }


def test_a_backend_may_say_that_it_can_do_less():
    assert HiddenDirectoryBackend(None, PluginOptions()).capabilities == {"check_password"}


@pytest.mark.parametrize("hash_name", SCRAM_HASHES)
def test_what_a_client_has_salted_gives_the_same_credentials(hash_name):
    salted = hashlib.pbkdf2_hmac(SCRAM_HASHES[hash_name], b"pencil", SALT, 4096)
    ours = derive_scram("pencil", hash_name, SALT, 4096)
    assert scram_from_salted(salted, hash_name, SALT, 4096) == ours


@pytest.mark.parametrize("size", [0, 19, 20, 31, 33, 64])
def test_what_has_another_length_is_not_salted_by_that_hash(size):
    with pytest.raises(ValueError, match="32 octets"):
        scram_from_salted(b"x" * size, "SHA-256", SALT, 4096)


CALLS = {
    "add_scram": ("juliet", derive_scram("wherefore", "SHA-1", SALT, 1)),
    "check_password": ("juliet", "wherefore"),
    "count_users": (),
    "create_user": ("juliet", "wherefore"),
    "export_credentials": ("juliet",),
    "import_user": ("juliet", Credentials("wherefore")),
    "missing_hashes": (),
    "remove_user": ("juliet",),
    "scram_credentials": ("juliet", "SHA-256"),
    "scram_hashes": (),
    "set_password": ("juliet", "wherefore"),
    "user_exists": ("juliet",),
    "users": (),
}


def test_every_capability_is_a_method_of_the_base_class():
    assert set(CALLS) == CAPABILITIES


@pytest.mark.parametrize(("method", "arguments"), sorted(CALLS.items()))
def test_what_a_backend_cannot_do_raises_unsupported(method, arguments):
    backend = AuthBackend(None, PluginOptions())
    with pytest.raises(Unsupported, match="AuthBackend cannot"):
        getattr(backend, method)(*arguments)


def test_a_backend_keeps_its_host_and_options():
    host, options = object(), PluginOptions()
    backend = AuthBackend(host, options)
    backend.start()
    backend.stop()
    assert (backend.host, backend.options) == (host, options)
    assert AuthBackend.Options is PluginOptions
