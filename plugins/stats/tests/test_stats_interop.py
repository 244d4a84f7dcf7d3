"""slixmpp asks a server that is a process of its own for its statistics."""

import json
from xml.etree import ElementTree as ET

import pytest

HOST = "capulet.example"
JULIET = f"juliet@{HOST}"
STATS = "http://jabber.org/protocol/stats"


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {"hosts": {HOST: {}}, "plugins": {"stats": {}, "disco": {}, "ping": {}}}
    )
    process.register(JULIET, f"paris@{HOST}")
    return process


def ask(person, *names):
    query = ET.Element(f"{{{STATS}}}query")
    for name in names:
        ET.SubElement(query, f"{{{STATS}}}stat", {"name": name})
    return person.request("get", query, HOST).xml.findall(f".//{{{STATS}}}stat")


def test_slixmpp_reads_the_statistics(process, slixmpp):
    juliet = slixmpp.available(process, f"{JULIET}/balcony")
    assert STATS in juliet.features(HOST)
    names = [stat.get("name") for stat in ask(juliet)]
    assert {"users/online", "users/total", "time/uptime"} <= set(names)
    told = {stat.get("name"): stat for stat in ask(juliet, *names, "users/asleep")}
    by_command = json.loads(process.run("stats", "--json"))
    for name in ("users/online", "users/total"):
        assert told[name].get("value") == by_command[name]
        assert told[name].get("units") == "users"
    assert told["users/total"].get("value") == "2"
    error = told["users/asleep"].find(f"{{{STATS}}}error")
    assert error.get("code") == "404"
