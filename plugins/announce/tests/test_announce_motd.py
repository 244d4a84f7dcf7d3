"""The message of the day is seen by everybody, once, whatever happens while it is shown."""

import pytest

from stonechat.stanza import Message
from stonechat.storage import Storage

HOST = "capulet.example"
NS_SM = "urn:xmpp:sm:3"
FEAST = "The feast begins."


@pytest.fixture
def host(server):
    return server.host(HOST, announce={}, sm={})


def heard(client):
    return [item.body for item in client.received() if isinstance(item, Message)]


def juliet_at(host, resource):
    return host.connect(f"juliet@{HOST}/{resource}")


def test_a_client_with_a_negative_priority_misses_nothing(server, host):
    juliet_at(host, "chamber").available(-1)
    server.command("motd-set", motd=FEAST)
    balcony = juliet_at(host, "balcony")
    balcony.available()
    assert heard(balcony) == [FEAST]


def test_a_client_whose_connection_is_lost_misses_nothing(server, host):
    chamber = juliet_at(host, "chamber")
    chamber.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
    chamber.available()
    chamber.drop()
    server.command("motd-set", motd=FEAST)
    # It never comes back, and nobody keeps a headline.
    server.clock.advance(600)
    balcony = juliet_at(host, "balcony")
    balcony.available()
    assert heard(balcony) == [FEAST]


def test_a_client_that_reads_too_slowly_misses_nothing(server, host):
    chamber = juliet_at(host, "chamber")
    chamber.available()
    chamber.stream.connection.stop_reading()
    for number in range(100):
        host.kernel.route(Message(to=chamber.jid, from_=host.jid, id=str(number)))
    server.command("motd-set", motd=FEAST)
    chamber.stream.connection.go_on_reading()
    assert heard(chamber)[-1] != FEAST
    chamber.unavailable()
    chamber.available()
    assert heard(chamber) == [FEAST]


class Meanwhile:
    """A store in which something happens while somebody is marked as having seen it."""

    def __init__(self, storage: Storage, happens):
        self.storage = storage
        self.happens = happens

    def __getattr__(self, name):
        return getattr(self.storage, name)

    def read(self, work):
        happens, self.happens = self.happens, lambda: None
        happens()
        return self.storage.read(work)


@pytest.fixture
def meanwhile(host, monkeypatch):
    def meanwhile(happens):
        store = host.plugin("announce").store
        monkeypatch.setattr(store, "_storage", Meanwhile(store._storage, happens))

    return meanwhile


@pytest.mark.parametrize("what", ["delete", "update"])
def test_one_that_holds_no_more_is_shown_to_nobody_else(server, host, meanwhile, what):
    guests = [host.connect(f"guest{number}@{HOST}/hall") for number in range(70)]
    for guest in guests:
        guest.available()
    plugin = host.plugin("announce")
    happens = {"delete": plugin.delete_motd, "update": lambda: plugin.update_motd("Tomorrow")}
    meanwhile(happens[what])
    server.command("motd-set", motd=FEAST)
    # Those who were just being looked up have been told.
    assert sum(heard(guest) == [FEAST] for guest in guests) == 64


@pytest.mark.parametrize("what", ["delete", "update"])
def test_who_comes_just_then_is_not_shown_it_either(server, host, meanwhile, what):
    server.command("motd-set", motd=FEAST)
    plugin = host.plugin("announce")
    happens = {"delete": plugin.delete_motd, "update": lambda: plugin.update_motd("Tomorrow")}
    meanwhile(happens[what])
    balcony = juliet_at(host, "balcony")
    balcony.available()
    assert heard(balcony) == []


def test_who_is_gone_before_it_is_shown_sees_it_the_next_time(server, host):
    server.command("motd-set", motd=FEAST)
    chamber = juliet_at(host, "chamber")
    session = host.kernel.session(chamber.jid)
    chamber.disconnect()
    host.plugin("announce").greet(session)
    balcony = juliet_at(host, "balcony")
    balcony.available()
    assert heard(balcony) == [FEAST]


def test_it_is_sent_once_it_is_set_though_others_have_begun_meanwhile(server, host, monkeypatch):
    balcony = juliet_at(host, "balcony")
    balcony.available()
    plugin = host.plugin("announce")
    put = plugin.store.put

    def put_slowly(motd):
        plugin.under_way += 10
        put(motd)

    monkeypatch.setattr(plugin.store, "put", put_slowly)
    server.command("motd-set", motd=FEAST)
    assert heard(balcony) == [FEAST]
