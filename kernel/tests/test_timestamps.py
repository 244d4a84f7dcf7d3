"""XEP-0082, and the dateTime of XML Schema 1.1 where it overrules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.timestamps import read, written

SECOND = 1_000_000
DAY = 86_400 * SECOND
FIRST = -62_135_596_800 * SECOND
LAST = 253_402_300_800 * SECOND - 1

MOMENTS = st.integers(FIRST, LAST)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        # The examples of XEP-0082.
        ("1969-07-21T02:56:15Z", -14_159_025 * SECOND),
        ("1969-07-20T21:56:15-05:00", -14_159_025 * SECOND),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01T00:00:00.5Z", 500_000),
        ("1969-12-31T23:59:59.5Z", -500_000),
        ("1970-01-01T00:00:00+14:00", -14 * 3600 * SECOND),
        ("1970-01-01T00:00:00-13:59", (14 * 60 - 1) * 60 * SECOND),
        ("1970-01-01T00:00:00-00:00", 0),
        ("2000-02-29T00:00:00Z", 951_782_400 * SECOND),
        ("0001-01-01T00:00:00Z", FIRST),
        ("9999-12-31T23:59:59.999999Z", LAST),
        ("0001-01-01T01:00:00+01:00", FIRST),
        ("0001-01-01T00:00:00-01:00", FIRST + 3600 * SECOND),
    ],
)
def test_reads_a_moment(text, moment):
    assert read(text) == moment


def test_what_is_finer_than_a_microsecond_is_cut_off():
    assert read("1970-01-01T00:00:00.9999999Z") == 999_999
    assert read("1969-12-31T23:59:59.9999999Z") == -1
    assert read(f"1970-01-01T00:00:00.{'1' * 100_000}Z") == 111_111


@pytest.mark.parametrize("fraction", ["", ".0", ".0000000"])
def test_midnight_may_be_the_end_of_a_day(fraction):
    assert read(f"1970-01-01T24:00:00{fraction}Z") == DAY
    assert read("1970-12-31T24:00:00+01:00") == read("1970-12-31T23:00:00Z")


def test_white_space_around_it_is_no_part_of_it():
    assert read("\n\t1970-01-01T00:00:01Z \r") == SECOND


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1970-01-01",
        "00:00:00Z",
        "1970-01-01T00:00:00",  # the zone is mandatory
        "19700101T00:00:00",  # from before XEP-0082
        "1970-01-01 00:00:00Z",
        "1970-01-01t00:00:00Z",
        "1970-01-01T00:00:00z",
        "1970-01-01T00:00Z",
        "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00,5Z",
        "1970-01-01T24:00:01Z",
        "1970-01-01T24:00:00.1Z",
        "1970-01-01T25:00:00Z",
        "1970-01-01T00:60:00Z",
        "2016-12-31T23:59:60Z",  # XML Schema has no leap seconds
        "1970-02-30T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "1970-00-01T00:00:00Z",
        "1970-13-01T00:00:00Z",
        "1970-01-00T00:00:00Z",
        "1970-01-01T00:00:00+0100",
        "1970-01-01T00:00:00+01",
        "1970-01-01T00:00:00+14:01",
        "1970-01-01T00:00:00-24:00",
        "1970-01-01T00:00:00+01:60",
        "0000-01-01T00:00:00Z",
        "-0044-03-15T12:00:00Z",
        "12026-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T24:00:00Z",
        "9999-12-31T23:59:59-00:01",
        "１９７０-01-01T00:00:00Z",
        "1970-01-01T00:00:00.٣Z",
        "1970-01-01T00:00:00Z\x00",
        "\xa01970-01-01T00:00:00Z",
    ],
)
def test_refuses_what_is_no_moment(text):
    with pytest.raises(ValueError, match=r"."):
        read(text)


@given(st.text() | st.text("0123456789-+:.TZ", max_size=40))
def test_no_text_does_worse_than_a_value_error(text):
    try:
        moment = read(text)
    except ValueError:
        return
    assert FIRST <= moment <= LAST


@given(MOMENTS)
def test_what_is_written_is_read_again(moment):
    text = written(moment)
    assert read(text) == moment
    assert len(text) == (20 if moment % SECOND == 0 else 27)


@given(MOMENTS, MOMENTS)
def test_of_whole_seconds_the_texts_are_in_order_as_the_moments_are(one, other):
    one, other = one // SECOND * SECOND, other // SECOND * SECOND
    assert (written(one) < written(other)) is (one < other)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_795_381_743_123_456, "2026-11-22T21:09:03.123456Z"),
        (100_000, "1970-01-01T00:00:00.100000Z"),
        (FIRST, "0001-01-01T00:00:00Z"),
        (LAST, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_writes_a_moment(moment, text):
    assert written(moment) == text


@pytest.mark.parametrize("moment", [FIRST - 1, LAST + 1, 10**30, -(10**30)])
def test_does_not_write_years_of_other_than_four_digits(moment):
    with pytest.raises(ValueError, match="outside the years"):
        written(moment)
