"""Keys by XEP-0185."""

import pytest

from stonechat_dialback.keys import Keys

OURS = Keys(b"s3cr3tf0rd14lb4ck")


@pytest.mark.parametrize(
    ("secret", "said", "key"),
    [
        pytest.param(
            b"s3cr3tf0rd14lb4ck",
            ("xmpp.example.com", "example.org", "D60000229F"),
            "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643",
            id="XEP-0185",
        ),
        pytest.param(
            b"s3cr3tf0rd14lb4ck",
            ("montague.example", "capulet.example", "D60000229F"),
            "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3",
            id="XEP-0220, 2.1.1",
        ),
        pytest.param(
            b"d14lb4ck43v3r",
            ("capulet.example", "montague.example", "417GAF25"),
            "225cc5aa6a071133249d25fef42ae516fc7a86c523aa1c6980a7f73e784c972d",
            id="XEP-0220, 2.1.2",
        ),
    ],
)
def test_a_key_is_made_as_in_the_examples(secret, said, key):
    assert Keys(secret).make(*said) == key
    assert Keys(secret).is_ours(key, *said)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(("tybalt.example", "capulet.example", "s1"), id="another receiving domain"),
        pytest.param(("montague.example", "tybalt.example", "s1"), id="another domain of ours"),
        pytest.param(("montague.example", "capulet.example", "s2"), id="another stream"),
        pytest.param(("capulet.example", "montague.example", "s1"), id="the other way round"),
    ],
)
def test_a_key_is_good_for_one_pair_and_one_stream(said):
    key = OURS.make("montague.example", "capulet.example", "s1")
    assert not OURS.is_ours(key, *said)


def test_a_key_that_was_made_with_another_secret_is_not_ours():
    said = ("montague.example", "capulet.example", "s1")
    assert not OURS.is_ours(Keys(b"another").make(*said), *said)


@pytest.mark.parametrize("key", ["", "0", "ä" * 32, "\N{ZERO WIDTH SPACE}", "f" * 100_000])
def test_what_is_no_key_is_not_ours(key):
    assert not OURS.is_ours(key, "montague.example", "capulet.example", "s1")


def test_keys_are_compared_in_constant_time(monkeypatch):
    compared = []
    monkeypatch.setattr("hmac.compare_digest", lambda *both: compared.append(both) or True)
    assert OURS.is_ours("a key", "montague.example", "capulet.example", "s1")
    key = OURS.make("montague.example", "capulet.example", "s1")
    assert compared == [(b"a key", key.encode())]
