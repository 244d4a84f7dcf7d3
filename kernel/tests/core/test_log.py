"""Logs: one record is one line whatever it holds, and no secret is in it (robustness rule 22)."""

import errno
import io
import json
import logging
import subprocess
import sys

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stonechat.core import log
from stonechat.options import Secret
from stonechat.xml import Element

# Whatever a stranger may put into a stanza, and a Python text may hold.
anything = st.text(
    st.one_of(
        st.characters(codec=None, categories=None),
        st.sampled_from("\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\x00\x1b\x7f\u202e\ud800 ='\"\\"),
    )
)


@pytest.fixture(scope="module", autouse=True)
def restored():
    """Logging of the process is as it was after these tests."""
    root = logging.getLogger()
    handlers, level, config = root.handlers, root.level, structlog.get_config()
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.configure(**config)
    log._output.__init__()


class Lines(io.StringIO):
    def lines(self):
        """What was written, by lines as the crudest reader splits them."""
        assert self.getvalue().endswith("\n") or not self.getvalue()
        return self.getvalue().split("\n")[:-1]


@pytest.fixture
def written():
    """Makes a log of a format and a level; returns what is written to it."""

    def configured(format_="text", level="info"):
        log.configure(level, format_)
        log._output.stream = Lines()
        return log._output.stream

    return configured


def fail(text):
    raise RuntimeError(text)


def record(text):
    """One record with a text everywhere where one may stand."""
    logger = log.get_logger(host=text)
    try:
        fail(text)
    except RuntimeError:
        logger.exception(text, jid=text, names=[text], stack=f"one\n{text}")


def bridged(text):
    """The same by the way of the standard library."""
    try:
        fail(text)
    except RuntimeError:
        logging.getLogger(f"library.{text}").exception("%s", text)


@pytest.mark.parametrize("way", [record, bridged])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=anything)
def test_a_record_of_text_is_one_line_that_can_be_shown(written, way, text):
    stream = written("text")
    way(text)
    (line,) = stream.lines()
    assert line.isprintable()
    assert line.splitlines() == [line]


@pytest.mark.parametrize("way", [record, bridged])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=anything)
def test_a_record_of_json_is_one_line_that_says_the_same(written, way, text):
    stream = written("json")
    way(text)
    (line,) = stream.lines()
    assert line.isascii()
    assert line.isprintable()
    found = json.loads(line)
    assert found["event"] == text
    assert found["level"] == "error"
    assert "RuntimeError" in found["exception"]


@pytest.mark.parametrize("format_", ["text", "json"])
def test_a_secret_does_not_show(written, format_):
    stream = written(format_)
    secret = Secret("honey-dagger")
    log.get_logger(password=secret).warning(
        "refused", given=secret, several=[secret], named={"a": secret}
    )
    logging.getLogger("library").warning("refused %s %r", secret, {"a": secret})
    assert len(stream.lines()) == 2
    assert "dagger" not in stream.getvalue()
    assert "hidden" in stream.getvalue()


def test_text_is_made_for_eyes(written):
    stream = written("text")
    log.get_logger(host="capulet.example").info(
        "login refused", address="198.51.100.1", reason="wrong password", count=3, none=None
    )
    (line,) = stream.lines()
    time, _, rest = line.partition(" ")
    assert time.startswith("20")
    assert time.endswith("Z")
    assert rest == (
        "info    login refused host=capulet.example address=198.51.100.1"
        " reason='wrong password' count=3"
    )


def test_json_is_made_for_programs(written):
    stream = written("json")
    log.get_logger(host="capulet.example").warning(
        "stuck", count=3, none=None, what=Element("", "a")
    )
    found = json.loads(stream.lines()[0])
    assert found.pop("timestamp").endswith("Z")
    assert found == {
        "event": "stuck",
        "level": "warning",
        "host": "capulet.example",
        "count": 3,
        "what": "<a/>",
    }


@pytest.mark.parametrize(
    ("level", "events"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_what_matters_less_than_the_level_is_left_out(written, level, events):
    stream = written("json", level)
    for logger in (log.get_logger(), logging.getLogger("library")):
        for name in log.LEVELS:
            getattr(logger, name)(name)
    assert [json.loads(line)["event"] for line in stream.lines()] == events * 2


def test_an_exception_is_written_at_any_level(written):
    stream = written("json", "error")
    try:
        fail("Alack")
    except RuntimeError:
        log.get_logger().exception("failed")
    found = json.loads(stream.lines()[0])
    assert found["level"] == "error"
    assert found["exception"].endswith("RuntimeError: Alack")


def test_a_logger_that_exists_follows_a_change(written):
    logger = log.get_logger()
    first = written("text", "error")
    logger.info("before")
    second = written("json", "debug")
    logger.debug("after")
    assert first.lines() == []
    assert json.loads(second.lines()[0])["event"] == "after"


def test_a_library_is_named_and_its_odd_levels_are_levels_of_ours(written):
    stream = written("json", "debug")
    library = logging.getLogger("library")
    library.setLevel(1)
    for level in (5, 15, 25, 99):
        library.log(level, "level %d", level)
    library.setLevel(logging.NOTSET)
    records = [json.loads(line) for line in stream.lines()]
    assert [found["level"] for found in records] == ["debug", "debug", "info", "critical"]
    assert {found["logger"] for found in records} == {"library"}


def test_who_logs_wrongly_is_not_punished(written):
    stream = written("json")
    logging.getLogger("library").error("%s and %s", "one")
    assert json.loads(stream.lines()[0])["event"] == "'%s and %s' with ('one',)"


# Files


def test_a_file_is_appended_to_and_opened_anew(tmp_path):
    path = tmp_path / "stonechat.log"
    path.write_text("old\n")
    log.configure("info", "text", path)
    logger = log.get_logger()
    logger.info("é")
    moved = path.rename(tmp_path / "stonechat.log.1")
    logger.info("to the old one")
    log.configure("info", "text", path)
    logger.info("to the new one")
    log.configure("info", "text")
    assert moved.read_text(encoding="utf-8").count("\n") == 3
    assert "é" in moved.read_text(encoding="utf-8")
    assert path.read_text().endswith("info    to the new one\n")


def test_a_file_that_cannot_be_opened_leaves_all_as_it_was(written, tmp_path):
    stream = written("text")
    with pytest.raises(OSError, match="stonechat"):
        log.configure("error", "json", tmp_path / "none" / "stonechat.log")
    log.get_logger().info("still here")
    assert stream.lines()[0].endswith("info    still here")


class Full(Lines):
    """A file on a disk that is full."""

    is_full = True

    def write(self, text):
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)

    def flush(self):
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("way", [record, bridged])
def test_a_full_disk_costs_records_and_nothing_else(written, way):
    written()
    log._output.stream = stream = Full()
    way("lost")
    stream.is_full = False
    way("kept")
    assert len(stream.lines()) == 1


def test_a_full_disk_keeps_nobody_from_another_file(written):
    class Unclosable(Full):
        def close(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    written()
    log._output.stream = Unclosable()
    log._output.is_ours = True
    stream = written()
    log.get_logger().info("here")
    assert len(stream.lines()) == 1


def test_a_closed_file_costs_records_and_nothing_else(written):
    written().close()
    log.get_logger().info("lost")


# Whose logs they are


def test_it_is_known_whether_logs_are_ours_to_direct(written):
    written()
    assert log.is_configured()
    structlog.reset_defaults()
    assert not log.is_configured()


# What they cost


def test_no_library_that_colours_tracebacks_is_loaded():
    pytest.importorskip("rich")
    code = "import sys, stonechat.core.log; print('rich' in sys.modules); import rich.console"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["False"]
