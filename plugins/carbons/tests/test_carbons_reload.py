"""The plugin is stopped and started while clients are connected, as at a reload."""

import pytest

from stonechat.namespaces import NS_CARBONS
from stonechat.stanza import Element

ROMEO = "romeo@montague.example"
ENABLE = Element(NS_CARBONS, "enable")
DISABLE = Element(NS_CARBONS, "disable")


@pytest.fixture
def host(server):
    return server.host("montague.example", carbons={})


@pytest.fixture
def juliet(server, host):
    return server.host("capulet.example").connect("juliet@capulet.example/balcony")


def romeo_at(host, resource):
    client = host.connect(f"{ROMEO}/{resource}")
    client.set(ENABLE)
    client.available()
    client.received()
    return client


def copies(client):
    """The texts of the copies that have come."""
    return [
        message.element.first().first().first().find_text("body")
        for message in client.received()
        if message.has(NS_CARBONS, "received")
    ]


def start_anew(host):
    host.disable("carbons")
    host.enable("carbons", {})


def test_whoever_has_enabled_copies_goes_on_getting_them(host, juliet):
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    start_anew(host)
    juliet.message(garden.jid, "Good night")
    assert copies(home) == ["Good night"]
    assert copies(garden) == []


def test_whoever_has_disabled_them_gets_none(host, juliet):
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    home.set(DISABLE)
    start_anew(host)
    juliet.message(garden.jid, "Good night")
    assert copies(home) == []


def test_what_waits_for_a_slow_client_is_not_lost(host, juliet):
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    home.stream.connection.stop_reading()
    texts = [str(number) for number in range(100)]
    for text in texts:
        juliet.message(garden.jid, text)
    assert host.plugin("carbons").backlogs._backlogs
    host.disable("carbons")
    home.stream.connection.go_on_reading()
    assert copies(home) == texts
