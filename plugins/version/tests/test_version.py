"""What a client learns of the server's software."""

import platform

import pytest

from stonechat import __version__
from stonechat.errors import StanzaError
from stonechat.stanza import Element

VERSION = "jabber:iq:version"


def ask(server, **options):
    juliet = server.host("capulet.example", version=options).connect(
        "juliet@capulet.example/balcony"
    )
    return juliet.get(Element(VERSION, "query"), to="capulet.example").payload


def test_names_the_software_and_its_version(server):
    query = ask(server)
    assert query.find_text("name") == "Stonechat"
    assert query.find_text("version") == __version__


def test_the_name_is_an_option(server):
    assert ask(server, name="Verona Messenger").find_text("name") == "Verona Messenger"


def test_hides_the_operating_system_by_default(server):
    assert ask(server).find("os") is None


def test_names_the_operating_system_if_told_to(server):
    assert ask(server, show_os=True).find_text("os") == platform.system()


def test_the_version_cannot_be_set(server):
    host = server.host("capulet.example", version={})
    juliet = host.connect("juliet@capulet.example/balcony")
    with pytest.raises(StanzaError) as refused:
        juliet.set(Element(VERSION, "query"), to="capulet.example")
    assert refused.value.condition == "not-allowed"


def test_is_advertised(server):
    host = server.host("capulet.example", version={})
    assert host.plugin("version").stonechat_disco_features() == [VERSION]
