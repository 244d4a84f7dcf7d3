"""Ciphers by the names that OpenSSL has for them."""

import pytest

from stonechat.net.tls_ciphers import ciphers_named, is_strong
from stonechat.net.tls_contexts import DEFAULT_CIPHERS


def test_the_default_ones_are_strong():
    names = ciphers_named(DEFAULT_CIPHERS)
    assert len(names) > 5
    assert all(map(is_strong, names))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("TLS_AES_128_GCM_SHA256", True),
        ("DHE-RSA-CHACHA20-POLY1305", True),
        ("ECDHE-RSA-AES256-SHA", False),  # not authenticated as one
        ("AES256-GCM-SHA384", False),  # without forward secrecy
        ("ADH-AES256-GCM-SHA384", False),  # with anybody
        ("PSK-AES256-CCM", False),
    ],
)
def test_forward_secrecy_and_authenticated_encryption_are_wanted(name, expected):
    assert is_strong(name) is expected


def test_what_is_no_cipher_stands_for_none():
    assert ciphers_named("RIDDLE") == []
