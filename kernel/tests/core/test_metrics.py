"""Metrics: a text that OpenMetrics 1.0 allows, with figures that are right."""

import re

import pytest

from stonechat.core.chains import SAMPLE_EVERY
from stonechat.core.metrics import render
from stonechat.plugin import hookimpl

SAMPLE = re.compile(
    r"(?P<name>[a-z_]+)(\{(?P<labels>[a-z_]+=\"(\\.|[^\"\\])*\"(,[a-z_]+=\"(\\.|[^\"\\])*\")*)\})?"
    r" (?P<value>-?\d+(\.\d+)?)"
)
SUFFIX = {"counter": "_total", "gauge": "", "info": "_info"}


def read(text: str) -> dict[str, float]:
    """The samples by name and labels; fails for what the specification forbids."""
    *lines, last, nothing = text.split("\n")
    assert (last, nothing) == ("# EOF", "")
    samples: dict[str, float] = {}
    families: list[str] = []
    sample = ""
    for line in lines:
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family not in families
            families.append(family)
            sample = family + SUFFIX[kind]
        elif line.startswith("# HELP "):
            assert line.split(" ")[2] == families[-1]
        else:
            found = SAMPLE.fullmatch(line)
            assert found, line
            assert found["name"] == sample
            key, _, value = line.rpartition(" ")
            assert key not in samples
            samples[key] = float(value)
    return samples


class Listener:
    """Hears everything, and is sometimes wrong."""

    def __init__(self, host, options) -> None:
        self.host = host

    @hookimpl
    def stonechat_message_from_user(self, session, message):
        return None

    @hookimpl
    def stonechat_session_bound(self, session):
        if session.jid.localpart == "tybalt":
            raise RuntimeError("a quarrel")


def test_is_well_formed_whatever_is_on(server):
    host = server.host("capulet.example", ping={}, version={})
    server.host("montague.example").enable("listener", plugin_class=Listener)
    host.connect("juliet@capulet.example/balcony").available()
    samples = read(render(server.kernel))
    assert samples['stonechat_build_info{version="0.1.0"}'] == 1
    assert samples["process_cpu_seconds_total"] > 0
    assert samples["process_resident_memory_bytes"] > 1_000_000
    assert samples['python_gc_collections_total{generation="2"}'] >= 0


def test_counts_what_the_store_does(server):
    server.host("capulet.example")
    before = read(render(server.kernel))["stonechat_store_writes_total"]
    server.kernel.store.write(lambda connection: None)
    assert read(render(server.kernel))["stonechat_store_writes_total"] == before + 1


def test_counts_sessions_by_host(server):
    server.host("montague.example")
    juliet = server.host("capulet.example").connect("juliet@capulet.example/balcony")
    samples = read(render(server.kernel))
    assert samples['stonechat_sessions{host="capulet.example"}'] == 1
    assert samples['stonechat_sessions{host="montague.example"}'] == 0
    juliet.disconnect()
    assert read(render(server.kernel))['stonechat_sessions{host="capulet.example"}'] == 0


def test_counts_connections_until_they_end(server):
    host = server.host("capulet.example")
    juliet = host.connect("juliet@capulet.example/balcony")
    stranger = host.open_stream()
    samples = read(render(server.kernel))
    assert samples["stonechat_connections"] == 2
    assert samples["stonechat_unauthenticated_connections"] == 1
    stranger.drop()
    juliet.drop()
    server.settle()
    samples = read(render(server.kernel))
    assert samples["stonechat_connections"] == 0
    assert samples["stonechat_unauthenticated_connections"] == 0


def test_counts_logins_and_those_that_were_refused(server):
    host = server.host("capulet.example")
    host.connect("juliet@capulet.example/balcony")
    before = read(render(server.kernel))
    stream = host.open_stream(tls=True)
    assert stream.authenticate("juliet", "wrong").name == "failure"
    after = read(render(server.kernel))
    logins, failures = (
        f'stonechat_{name}_total{{host="capulet.example"}}'
        for name in ("logins", "login_failures")
    )
    assert before[logins] == after[logins] == 1
    assert after[failures] == before[failures] + 1


def test_what_a_plugin_costs_is_scaled_up_from_the_samples(server):
    host = server.host("capulet.example")
    host.enable("listener", plugin_class=Listener)
    juliet = host.connect("juliet@capulet.example/balcony")
    for _ in range(2 * SAMPLE_EVERY):
        juliet.message("juliet@capulet.example", "O")
    samples = read(render(server.kernel))
    labels = 'host="capulet.example",plugin="listener"'
    filter_ = f'{{{labels},hook="stonechat_message_from_user"}}'
    notice = f'{{{labels},hook="stonechat_session_bound"}}'
    assert samples[f"stonechat_plugin_calls_total{filter_}"] == 2 * SAMPLE_EVERY
    assert samples[f"stonechat_plugin_calls_total{notice}"] == 1
    assert samples[f"stonechat_plugin_seconds_total{filter_}"] > 0
    (top, *_) = server.command("plugin-top")
    assert top["plugin"] == "listener"


def test_errors_of_a_plugin_are_counted(server):
    server.expect_errors()
    host = server.host("capulet.example")
    host.enable("listener", plugin_class=Listener)
    host.connect("tybalt@capulet.example/sword")
    samples = read(render(server.kernel))
    hook = 'host="capulet.example",plugin="listener",hook="stonechat_session_bound"'
    assert samples[f"stonechat_plugin_errors_total{{{hook}}}"] == 1
    assert samples['stonechat_plugin_running{host="capulet.example",plugin="listener"}'] == 1


def test_nothing_that_a_stranger_sends_becomes_a_label(server):
    host = server.host("capulet.example", ping={})
    mercutio = host.connect("mercutio@capulet.example/queen-mab")
    mercutio.send("<message to='mercutio@capulet.example'><plague xmlns='houses'/></message>")
    stream = host.open_stream(tls=True)
    stream.authenticate("mercutio", "wrong")
    text = render(server.kernel)
    for word in ("mercutio", "queen-mab", "plague", "houses", "198.51.100"):
        assert word not in text


@pytest.mark.parametrize("command", ["metrics", "status"])
def test_is_there_as_a_command(server, command):
    server.host("capulet.example")
    assert server.command(command)
