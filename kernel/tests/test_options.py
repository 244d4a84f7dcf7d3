"""Options: how they are declared, checked, written with units, and described."""

from enum import Enum
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stonechat.jid import JID
from stonechat.options import (
    REQUIRED,
    BareJID,
    ByteSize,
    Domain,
    DomainTemplate,
    Duration,
    DurationOrOff,
    ListenerOptions,
    LocalPath,
    Network,
    OptionDoc,
    PluginOptions,
    Rate,
    ReadableFile,
    Secret,
    SecretFile,
    describe_options,
    json_schema,
    option,
)
from stonechat.options.units import (
    parse_byte_size,
    parse_duration,
    show_byte_size,
    show_duration,
    show_duration_or_off,
    show_rate,
)


class Speech(Enum):
    VERSE = "verse"
    PROSE = "prose"


class Balcony(PluginOptions):
    height: float = option(4.5, "How far down it is.", gt=0, lt=100)


class Options(PluginOptions):
    history_length: int = option(20, "Messages shown to a newcomer.", ge=0, le=500)
    show_os: bool = option(False, "Name the operating system in the reply.")
    kick_after: Duration = option("10 min", "Silence of an occupant.", ge=1, le=3600)
    ping: DurationOrOff = option("off", "Time between pings.")
    size: ByteSize = option("1 MiB", "Size of a file.", le=10 * 1024**2)
    rate: Rate = option("none", "Speed of an upload.")
    domain: DomainTemplate = option("conference.@HOST@", "Where the rooms are.")
    language: str = option("en", "Language of the room.", pattern="^[a-z]{2}$", max_length=2)
    mode: Literal["open", "closed"] = option("open", "Who may enter.")
    speech: Speech = option("verse", "How they talk.")
    owners: tuple[BareJID, ...] = option((), "Who owns all rooms.")
    balcony: Balcony = option(Balcony(), "The balcony.")
    rooms: dict[str, Balcony] = option({}, "Rooms with a view.")
    logs: LocalPath | None = option(None, "Where logs go.")


def problem(model, **values) -> str:
    with pytest.raises(ValidationError) as caught:
        model(**values)
    [error] = caught.value.errors()
    return str(error["ctx"]["error"]) if error["type"] == "value_error" else error["msg"]


# Declaring


def test_defaults_are_checked_and_converted_like_given_values():
    options = Options()
    assert (options.kick_after, options.ping, options.size, options.rate) == (600, 0, 1048576, 0)
    assert options.speech is Speech.VERSE

    class Wrong(PluginOptions):
        kick_after: Duration = option("soon", "Silence.")

    assert "30 s" in problem(Wrong)


def test_options_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Options().history_length = 3


def test_an_unknown_option_is_refused():
    assert problem(Options, histroy=3) == "Extra inputs are not permitted"


def test_a_required_option_must_be_given():
    class Needy(PluginOptions):
        url: str = option(REQUIRED, "Where it is.")

    assert problem(Needy) == "Field required"
    assert Needy(url="x").url == "x"


def test_an_option_needs_a_sentence():
    with pytest.raises(TypeError, match=r"Terse\.size has no sentence"):

        class Terse(PluginOptions):
            size: int = 3


def test_no_option_may_take_the_name_that_the_configuration_uses_itself():
    with pytest.raises(TypeError, match="required"):

        class Greedy(PluginOptions):
            required: bool = option(False, "Taken.")


def test_true_is_not_a_number():
    assert problem(Options, history_length=True) == "must be a number, not true or false"
    assert problem(Balcony, height=True) == "must be a number, not true or false"
    assert Options(show_os=True).show_os

    class Either(PluginOptions):
        port: Duration | None = option(None, "A number or nothing.")
        flag: bool | int = option(0, "Truth or a number.")
        ports: tuple[int, ...] = option((), "Numbers.")

    assert problem(Either, port=False) == "must be a number, not true or false"
    assert problem(Either, ports=True) == "Input should be a valid tuple"
    assert Either(flag=True).flag is True


def test_infinity_is_not_a_number():
    class Sky(PluginOptions):
        height: float = option(1.0, "How high.")

    assert "finite" in problem(Sky, height=float("inf"))


def test_equal_options_are_equal_however_they_were_written():
    assert Options(kick_after="10 min") == Options(kick_after=600) == Options()
    assert Options(kick_after="11 min") != Options()


def test_a_hidden_option_and_a_wrong_value_are_not_repeated():
    class Store(PluginOptions):
        url: str = option("none:", "Where it is.", hidden=True, max_length=9)

    assert "wherefore" not in repr(Store(url="wherefore"))
    with pytest.raises(ValidationError) as caught:
        Store(url="wherefore art thou")
    assert "wherefore" not in str(caught.value)


# Units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30 s", 30.0),
        ("30s", 30.0),
        ("100 ms", 0.1),
        ("300 ms", 0.3),
        ("5 min", 300.0),
        ("1.5 h", 5400.0),
        ("7 d", 604800.0),
        ("12", 12.0),
        (12, 12.0),
        (0.5, 0.5),
        (0, 0.0),
    ],
)
def test_a_duration_is_seconds(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "-1 s",
        -1,
        "5 m",
        "5 MIN",
        "1 min 30 s",
        "1e3 s",
        "٣ s",
        True,
        None,
        [],
        float("inf"),
        float("nan"),
        10**400,
        "9" * 400,
        "1 s\n",
    ],
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="must be a duration such as 30 s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["off", 0, "0 s"])
def test_a_duration_can_be_switched_off(text):
    assert Options(ping=text).ping == 0


def test_no_other_word_switches_a_duration_off():
    assert problem(Options, ping="none").endswith(", or off")
    assert "duration" in problem(Options, kick_after="off")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (262144, 262144),
        ("262144", 262144),
        ("100 KiB", 102400),
        ("100kib", 102400),
        ("1 MB", 1000000),
        ("1.5 MiB", 1572864),
        ("2 GiB", 2 * 1024**3),
        ("7 B", 7),
        (3.0, 3),
    ],
)
def test_a_size_is_bytes(text, size):
    assert parse_byte_size(text) == size


@pytest.mark.parametrize("text", ["", "1.5", 1.5, "1.5 B", -1, "1 K", "1 MiB/s", True, None])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="must be a number of bytes"):
        parse_byte_size(text)


@pytest.mark.parametrize(
    ("text", "rate"), [("100 KiB/s", 102400), ("1 MB", 1000000), (0, 0), ("none", 0), (99, 99)]
)
def test_a_rate_is_bytes_per_second(text, rate):
    assert Options(rate=text).rate == rate


@pytest.mark.parametrize("text", ["fast", "100 KiB/min", None, "/s"])
def test_what_is_no_rate_is_refused(text):
    assert "must be bytes per second" in problem(Options, rate=text)


@given(st.integers(0, 10**7))
def test_a_duration_is_shown_as_it_may_be_written(milliseconds):
    assert parse_duration(show_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(0, 10**12))
def test_a_size_is_shown_as_it_may_be_written(size):
    assert parse_byte_size(show_byte_size(size)) == size


def test_values_are_shown_in_the_largest_unit_that_is_exact():
    assert [show_duration(s) for s in (0, 0.25, 1.5, 90, 120, 7200, 86400)] == [
        "0 s", "250 ms", "1.5 s", "90 s", "2 min", "2 h", "1 d",
    ]  # fmt: skip
    assert [show_byte_size(n) for n in (0, 999, 10_000, 262144, 10**6)] == [
        "0", "999", "10 kB", "256 KiB", "1 MB",
    ]  # fmt: skip
    assert (show_rate(0), show_rate(1024)) == ("none", "1 KiB/s")
    assert (show_duration_or_off(0), show_duration_or_off(60)) == ("off", "1 min")


# Files


class Files(PluginOptions):
    secret_file: SecretFile | None = option(None, "A secret.")
    logs: LocalPath = option("logs", "Where logs go.")
    script: ReadableFile | None = option(None, "What is run.")


def test_paths_start_from_the_folder_of_the_configuration_file(tmp_path):
    (tmp_path / "s").write_text("wherefore\n")
    options = Files.model_validate(
        {"secret_file": "s", "script": "s"}, context={"directory": tmp_path}
    )
    assert options.secret_file.path == options.script == tmp_path / "s"
    assert options.logs == tmp_path / "logs"
    assert Files(logs="/var/log").logs == Path("/var/log")
    assert Files(logs=tmp_path).logs == tmp_path


@pytest.mark.parametrize("path", ["", 5, None, "a\0b", "a\nb"])
def test_what_is_no_path_is_refused(path):
    assert problem(Files, logs=path) == "must be the path of a file or folder"


def test_a_file_that_is_needed_must_be_there(tmp_path):
    assert "No such file" in problem(Files, script=str(tmp_path / "nowhere"))
    assert "Is a directory" in problem(Files, script=str(tmp_path))


def test_a_secret_is_read_from_its_file_and_shown_to_nobody(tmp_path):
    (tmp_path / "s").write_bytes("  wherefore ä \r\n".encode())
    options = Files(secret_file=str(tmp_path / "s"))
    secret = options.secret_file.read()
    assert secret.reveal() == "  wherefore ä "
    assert "wherefore" not in f"{options!r} {secret} {secret!r} {options.model_dump_json()}"
    assert secret == Secret("  wherefore ä ") != Secret("wherefore")
    assert secret
    assert not Secret("")
    with pytest.raises(TypeError):
        hash(secret)


def test_a_changed_secret_is_a_changed_option(tmp_path):
    file = tmp_path / "s"
    file.write_text("wherefore")
    before, again = Files(secret_file=str(file)), Files(secret_file=str(file))
    file.write_text("therefore")
    assert before == again != Files(secret_file=str(file))
    assert before.secret_file.read().reveal() == "wherefore"


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "cannot read"), (b"\n", "empty"), (b"\xff", "UTF-8"), (b"x" * 65537, "too large")],
)
def test_a_file_without_a_usable_secret_is_refused(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "s").write_bytes(content)
    assert reason in problem(Files, secret_file=str(tmp_path / "s"))


# Addresses


class Places(PluginOptions):
    template: DomainTemplate = option("rooms.@HOST@", "A domain.")
    domain: Domain = option("capulet.example", "A domain.")
    account: BareJID | None = option(None, "An account.")
    networks: tuple[Network, ...] = option((), "Networks.")


def test_a_domain_template_becomes_the_domain_of_a_host():
    assert Places().template.for_host("capulet.example") == "rooms.capulet.example"
    fixed = Places(template="Rooms.Verona.Example").template
    assert fixed.for_host("capulet.example") == "rooms.verona.example"


@pytest.mark.parametrize("text", ["rooms@HOST", "a b.@HOST@", "@host@", "", 5])
def test_what_is_no_domain_template_is_refused(text):
    assert "must be a domain such as conference.@HOST@" in problem(Places, template=text)


def test_addresses_are_prepared():
    places = Places(domain="CAPULET.Example", account="Juliet@Capulet.example")
    assert places.domain == "capulet.example"
    assert places.account == JID.parse("juliet@capulet.example")


@pytest.mark.parametrize("text", ["capulet.example", "juliet@capulet.example/balcony", 5, "@"])
def test_an_account_is_a_bare_address(text):
    problem(Places, account=text)


def test_a_network_may_be_one_address_and_ipv4_may_come_inside_ipv6():
    places = Places(networks=["127.0.0.1", "2001:db8::/32", "::ffff:10.0.0.0/104"])
    expected = ("127.0.0.1/32", "2001:db8::/32", "10.0.0.0/8")
    assert places.networks == tuple(ip_network(text) for text in expected)


@pytest.mark.parametrize("text", ["", "10.0.0", "localhost", 5, None])
def test_what_is_no_network_is_refused(text):
    assert "must be an address or a network" in problem(Places, networks=[text])


def test_a_network_with_a_stray_host_part_is_told_so():
    assert "10.0.0.1/8 has host bits set" in problem(Places, networks=["10.0.0.1/8"])


# Listeners


class Listener(ListenerOptions):
    type: Literal["c2s"] = option("c2s", "Clients.")


def test_a_listener_has_a_port_and_an_address():
    listener = Listener(port=5222, address="0::0")
    assert (listener.type, listener.port, listener.address) == ("c2s", 5222, "::")
    assert "IP address" in problem(Listener, port=1, address="localhost")


def test_a_proxy_must_be_known_by_its_address():
    assert problem(Listener, port=1, proxy_protocol=True) == "proxy_protocol needs trusted_proxies"
    assert Listener(port=1, proxy_protocol=True, trusted_proxies=["::1"]).proxy_protocol


# The reference


def test_every_option_is_described_from_its_declaration():
    rows = {row.name: row for row in describe_options(Options)}
    assert rows["history_length"] == OptionDoc(
        name="history_length",
        type="integer",
        default="20",
        sentence="Messages shown to a newcomer.",
        bounds="at least 0, at most 500",
        is_required=False,
    )
    shown = {name: (row.type, row.default, row.bounds) for name, row in rows.items()}
    assert shown == {
        "history_length": ("integer", "20", "at least 0, at most 500"),
        "show_os": ("true or false", "false", ""),
        "kick_after": ("duration", "10 min", "at least 1 s, at most 1 h"),
        "ping": ("duration or off", "off", ""),
        "size": ("size", "1 MiB", "at most 10 MiB"),
        "rate": ("rate or none", "none", ""),
        "domain": ("domain, with @HOST@ for the virtual host", "conference.@HOST@", ""),
        "language": ("text", "en", "at most 2 long, matches ^[a-z]{2}$"),
        "mode": ("open or closed", "open", ""),
        "speech": ("verse or prose", "verse", ""),
        "owners": ("list of bare JID", "[]", ""),
        "balcony": ("mapping", "{}", ""),
        "balcony.height": ("number", "4.5", "more than 0, less than 100"),
        "rooms": ("mapping of text to mapping", "{}", ""),
        "rooms.*.height": ("number", "4.5", "more than 0, less than 100"),
        "logs": ("path or null", "null", ""),
    }


def test_the_reference_says_what_must_be_given():
    class Needy(PluginOptions):
        secret_file: SecretFile = option(REQUIRED, "A secret.")
        anything: list[Any] = option(REQUIRED, "Anything.")
        balconies: list[Balcony] = option([Balcony(height=3)], "Balconies.")

    rows = describe_options(Needy)
    assert [(row.name, row.type, row.default, row.is_required) for row in rows] == [
        ("secret_file", "path of a file with a secret", "", True),
        ("anything", "list of anything", "", True),
        ("balconies", "list of mapping", "[{height: 3.0}]", False),
        ("balconies[].height", "number", "4.5", False),
    ]


def test_the_schema_has_types_bounds_and_sentences():
    schema = json_schema(Options)
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert properties["history_length"] == {
        "type": "integer",
        "title": "History Length",
        "description": "Messages shown to a newcomer.",
        "default": 20,
        "minimum": 0,
        "maximum": 500,
    }
    assert properties["kick_after"]["default"] == "10 min"
    assert properties["kick_after"]["description"] == "Silence of an occupant."
    assert {"type": "string"} in properties["kick_after"]["anyOf"]
    assert properties["mode"]["enum"] == ["open", "closed"]
    for model in (Files, Places, Listener):
        assert json_schema(model)["properties"]
