import pytest

from stonechat.spelling import did_you_mean, nearest

WORDS = ("history_length", "max_items", "muc", "ldap", "mam")


@pytest.mark.parametrize(
    ("word", "right"),
    [
        ("histroy_length", "history_length"),
        ("history-length", "history_length"),
        ("Max_Items", "max_items"),
        ("mcu", "muc"),
        ("lpad", "ldap"),
        ("zeppelin", ""),
        ("", ""),
    ],
)
def test_finds_the_word_that_was_meant(word, right):
    assert nearest(word, WORDS) == right


def test_does_not_labour_over_a_word_of_a_million_letters():
    assert nearest("history_length" * 100_000, WORDS) == ""


def test_suggests_or_says_nothing():
    assert did_you_mean("mcu", WORDS) == '; did you mean "muc"?'
    assert did_you_mean("zeppelin", WORDS) == ""
