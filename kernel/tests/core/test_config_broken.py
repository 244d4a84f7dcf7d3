"""Whatever is wrong with a configuration file, it is told as faults with their places."""

import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from stonechat.core.config import (
    BrokenPlugin,
    Configuration,
    UnknownPlugin,
    load_configuration,
    load_configuration_text,
)
from stonechat.core.config_model import ConfigurationFile, Limits
from stonechat.core.config_plan import plan_reload
from stonechat.errors import ConfigError
from stonechat.options import REQUIRED, DomainTemplate, Duration, PluginOptions, option

GOOD = """\
# Two households, both alike in dignity
data_dir: ./data
hosts:
  capulet.example: &house
    plugins: {muc: {history: [1, 2]}}
    auth_options: {ldap: {servers: ["ldaps://capulet.example"]}}
  montague.example:
    <<: *house
    auth: [internal, ldap]
    plugins:
      muc: null
    access:
      admin: {users: [romeo@montague.example], deny: {addresses: [10.0.0.0/8]}}
    language: it
listen:
  - {type: c2s, port: 5222, starttls: required, address: "::"}
  - type: c2s
    port: 5223
    tls: direct
    trusted_proxies: [127.0.0.1, "::1"]
storage: {url: 'sqlite:///stonechat.db', timeout: 5 s}
plugins:
  muc: {domain: "conference.@HOST@", kick_after: 10 min, required: true}
access: {announce: {any: true}, admin: {hosts: [capulet.example]}}
cluster: {engine: local, node: verona}
limits:
  stanza_bytes: 256 KiB
  rate: 100 KiB/s
  idle_timeout: off
log: {level: info, format: json}
watchdog: {block_abort: 10 s}
"""


class Muc(PluginOptions):
    domain: DomainTemplate = option("conference.@HOST@", "Where the rooms are.")
    kick_after: Duration = option("10 min", "Silence of an occupant.", ge=1)
    history: tuple[int, ...] | dict[str, float] = option((), "Messages shown.", max_length=3)


class Ldap(PluginOptions):
    servers: tuple[str, ...] = option(REQUIRED, "Where the directory is.", min_length=1)


def resolve(kind, name):
    known = {("plugin", "muc"): Muc, ("auth", "internal"): PluginOptions, ("auth", "ldap"): Ldap}
    if name == "torn":
        raise BrokenPlugin("torn cannot be loaded")
    if (kind, name) not in known:
        raise UnknownPlugin(kind, name, [known_name for _kind, known_name in known])
    return known[kind, name]


# YAML 1.2 reads more line breaks than the usual ones.
LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


def attempt(text: str) -> Configuration | None:
    """The configuration, or None if it was refused as it should be."""
    try:
        return load_configuration_text(text, "stonechat.yaml", resolve)
    except ConfigError as error:
        problems = error.problems
    assert problems
    for problem in problems:
        place = re.match(r"stonechat\.yaml:(\d+):(\d+): \S", problem)
        assert place, problem
        assert int(place[1]) <= len(LINE_BREAK.split(text))
        assert problem.isprintable()
    return None


def test_the_file_that_is_broken_below_is_good():
    assert attempt(GOOD) is not None


FRAGMENTS = st.sampled_from(
    [
        "\n",
        "  ",
        "\t",
        ":",
        ": ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "'",
        '"',
        "#",
        "&house ",
        "*house",
        "<<: *house",
        "|",
        ">",
        "%YAML 1.1\n---\n",
        "---",
        "...",
        "!!int ",
        "!x ",
        "? ",
        "@",
        "~",
        "null",
        "true",
        "-1",
        "1e999",
        ".nan",
        "0x",
        "9" * 50,
        "\x00",
        "\u2028",
        "\ufeff",
        "torn",
    ]
)
EDITS = st.lists(
    st.tuples(
        st.integers(0, len(GOOD)),
        st.integers(0, 12),
        FRAGMENTS | st.text(max_size=3) | st.just(""),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=400, deadline=None)
@given(EDITS)
def test_an_edit_gone_wrong_is_told_with_places(edits):
    text = GOOD
    for start, length, fragment in edits:
        text = text[:start] + fragment + text[start + length :]
    attempt(text)


@settings(max_examples=200, deadline=None)
@given(st.permutations(GOOD.splitlines()), st.integers(1, 40))
def test_lines_in_the_wrong_order_are_told_with_places(lines, count):
    attempt("\n".join(lines[:count]))


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_is_told_with_places(text):
    attempt(text)


@settings(max_examples=200, deadline=None)
@given(st.binary())
def test_any_bytes_are_told_with_places(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "stonechat.yaml"
    file.write_bytes(content)
    try:
        load_configuration(file, resolve)
    except ConfigError as error:
        for problem in error.problems:
            assert re.match(re.escape(str(file)) + r":\d+:\d+: \S", problem)


NAMES = st.sampled_from(
    [
        *ConfigurationFile.model_fields,
        *Limits.model_fields,
        "capulet.example",
        "CAPULET.example",
        "certificate",
        "chain",
        "muc",
        "ldap",
        "torn",
        "type",
        "port",
        "address",
        "engine",
        "users",
        "deny",
        "any",
        "required",
        "domain",
        "0",
    ]
)
WORDS = st.sampled_from(
    ["c2s", "ldap", "internal", "muc", "30 s", "1 MiB", "off", "none", "@HOST@", "::", "local"]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | NAMES | st.text()
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)
SECTIONS = st.dictionaries(st.sampled_from([*ConfigurationFile.model_fields]), VALUES)
HOSTS = st.dictionaries(
    st.sampled_from(["capulet.example", "CAPULET.example", "montague.example"]) | st.text(),
    st.none()
    | st.dictionaries(
        st.sampled_from(["certificate", "auth", "auth_options", "plugins", "access", "language"]),
        VALUES,
    ),
)


@settings(max_examples=400, deadline=None)
@given(SECTIONS, HOSTS)
def test_any_values_under_the_right_keys_are_told_with_places(sections, hosts):
    # JSON is YAML, but for what JSON itself does not have (NaN) and YAML spells .nan.
    attempt(json.dumps({**sections, "hosts": hosts}, indent=1))


@settings(max_examples=200, deadline=None)
@given(EDITS, EDITS)
def test_between_any_two_files_that_load_a_plan_can_be_made(edits, others):
    loaded = []
    for changes in (edits, others):
        text = GOOD
        for start, length, fragment in changes[:1]:
            text = text[:start] + fragment + text[start + min(length, 2) :]
        loaded.append(attempt(text) or attempt(GOOD))
    plan = plan_reload(*loaded)
    assert bool(plan) == (loaded[0] != loaded[1])
    assert all(line.isprintable() for line in plan.text)
