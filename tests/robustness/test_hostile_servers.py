"""Whatever comes in on the ports for servers and components, nobody else feels it (R19, R20).

And nobody speaks for others there, whoever let him in (robustness rule 12).
"""

import hashlib
import re
import ssl
import sys
from pathlib import Path

import pytest
from hostile import strangers, talkers

sys.path.insert(0, str(Path(__file__).parents[2] / "kernel" / "tests" / "net"))

from tls_authority import Authority

MEGABYTE = 1 << 20
DOMAIN = "capulet.example"
PEER = "mercutio.example"
GATEWAY = f"gateway.{DOMAIN}"
SECRET = "A plague o' both your houses!"
STREAM = "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns="
OF_SERVERS = f"{STREAM}'jabber:server' from='{PEER}' to='{DOMAIN}' version='1.0'>"
OF_COMPONENTS = f"{STREAM}'jabber:component:accept' to='{GATEWAY}'>"
NURSE, ROMEO = f"nurse@{DOMAIN}/chamber", f"romeo@{DOMAIN}/orchard"
CLIENTS, SERVERS, SECURE_SERVERS, COMPONENTS = range(4)

FORGED = {
    "our server": DOMAIN,
    "a user of ours": f"juliet@{DOMAIN}",
    "another domain": "romeo@montague.example",
    "a subdomain": "{localpart}@sub.{domain}",
    "a name that ends so": "{localpart}@x{domain}",
    "a name that begins so": "{localpart}@{domain}.example",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server(stage, authority, tmp_path):
    """One with ports for clients, for servers with TLS or without, and for components."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    chain, key = authority.issue(DOMAIN)
    return stage.server(
        hosts={DOMAIN: {"certificate": {"chain": str(chain), "key": str(key)}}},
        listen=[
            {"type": "c2s", "starttls": "off"},
            {"type": "s2s", "starttls": "optional"},
            {"type": "s2s", "tls": "direct"},
            {"type": "component"},
        ],
        allow_plain_without_tls=True,
        # Nobody is asked who anybody is: there is no name server.
        dns={"servers": ["127.0.0.1:1"]},
        federation={
            "ca_file": str(authority.path),
            "domains": {PEER: {"trust": "any"}},
        },
        plugins={
            "component": {"components": [{"domains": [GATEWAY], "secret_file": str(secret)}]},
            "dialback": {},
            "ping": {},
            "roster": {},
        },
    )


@pytest.fixture
def connect(stage, server):
    return lambda port, **options: stage.connect(server, port=port, **options)


@pytest.fixture
def peer(authority, connect):
    """Makes a server that has proven who it is by its certificate."""
    context = ssl.create_default_context(cafile=authority.path)
    context.load_cert_chain(*authority.issue(PEER))
    context.set_alpn_protocols(["xmpp-server"])

    def make():
        client = connect(SECURE_SERVERS)
        client.socket = context.wrap_socket(client.socket, server_hostname=DOMAIN)
        client.send(OF_SERVERS)
        client.read_until("</stream:features>")
        client.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
        client.read_until("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
        client.send(OF_SERVERS)
        client.read_until("<stream:features")
        client.read_until(">")
        return client

    return make


@pytest.fixture
def component(connect):
    """Makes a component that knows its secret."""

    def make():
        client = connect(COMPONENTS)
        client.send(OF_COMPONENTS)
        client.read_until("<stream:stream")
        (id_,) = re.findall(r" id='([^']+)'", client.read_until(">"))
        key = hashlib.sha1((id_ + SECRET).encode()).hexdigest()  # noqa: S324 - XEP-0114
        client.send(f"<handshake>{key}</handshake>")
        client.read_until("<handshake/>")
        return client

    return make


def throw(client, data):
    """Send it as far as the server takes it; returns all that it answered until the end."""
    try:
        client.send(data)
    except OSError:
        pass
    return client.read_to_the_end()


@pytest.mark.parametrize(
    ("port", "header"),
    [(SERVERS, OF_SERVERS), (COMPONENTS, OF_COMPONENTS)],
    ids=["servers", "components"],
)
def test_hostile_strangers_disturb_nobody(stage, server, connect, port, header):
    conversation = stage.conversation(server)
    before = server.memory
    for _ in range(3):
        for number, (what, data) in enumerate(strangers(header).items()):
            answer = throw(connect(port, source=f"127.2.0.{number + 1}"), data)
            assert "<stream:error>" in answer, what
            assert answer.endswith("</stream:stream>"), what
    conversation.goes_on()
    conversation.finish()
    assert server.memory - before < 24 * MEGABYTE
    assert "Traceback" not in server.process.log


@pytest.mark.parametrize(
    ("port", "header"),
    [(SERVERS, OF_SERVERS), (COMPONENTS, OF_COMPONENTS)],
    ids=["servers", "components"],
)
def test_hostile_input_in_small_pieces_disturbs_nobody(stage, server, connect, port, header):
    conversation = stage.conversation(server)
    for number, (what, data) in enumerate(strangers(header).items()):
        client = connect(port, source=f"127.2.0.{number + 1}")
        for start in range(0, 600, 7):
            try:
                client.send(data[start : start + 7])
            except OSError:
                break
        assert "<stream:error>" in throw(client, data[600:]), what
    conversation.goes_on()
    conversation.finish()
    assert "Traceback" not in server.process.log


def test_no_tls_on_the_port_for_tls_disturbs_nobody(stage, server, connect):
    conversation = stage.conversation(server)
    for number, (what, data) in enumerate(strangers(OF_SERVERS).items()):
        # Nothing but an alert of TLS can be said there.
        answer = throw(connect(SECURE_SERVERS, source=f"127.2.0.{number + 1}"), data[:100_000])
        assert "<stream" not in answer, what
    conversation.goes_on()
    conversation.finish()
    assert "Traceback" not in server.process.log


@pytest.mark.parametrize("who", ["peer", "component"])
def test_hostile_talkers_disturb_nobody(request, stage, server, who):
    make = request.getfixturevalue(who)
    domain = PEER if who == "peer" else GATEWAY
    conversation = stage.conversation(server)
    nurse = stage.login(server, "nurse", "chamber")
    for what, data in talkers(f"mab@{domain}", NURSE).items():
        answer = throw(make(), data)
        assert "<stream:error>" in answer, what
        assert answer.endswith("</stream:stream>"), what
    assert "<message" not in nurse.ping()
    # The next one is welcome.
    make().send(f"<message from='mab@{domain}' to='{NURSE}'><body>Hush!</body></message>")
    assert f"from='mab@{domain}'" in nurse.read_until("Hush!")
    conversation.goes_on()
    conversation.finish()
    assert "Traceback" not in server.process.log


@pytest.mark.parametrize("who", ["peer", "component"])
def test_nobody_speaks_for_others(request, stage, server, who):
    make = request.getfixturevalue(who)
    domain = PEER if who == "peer" else GATEWAY
    romeo = stage.login(server, "romeo", "orchard")
    for what, sender in FORGED.items():
        senders = {
            "First": f"mab@{domain}",
            "Forged": sender.format(localpart="mab", domain=domain),
            "Last": f"mab@{domain}",
        }
        answer = throw(
            make(),
            "".join(
                f"<message from='{from_}' to='{ROMEO}'><body>{text}</body></message>"
                for text, from_ in senders.items()
            ).encode(),
        )
        assert "<invalid-from" in answer, what
        came = romeo.ping()
        assert [text in came for text in senders] == [True, False, False], what


@pytest.mark.parametrize("who", ["peer", "component"])
def test_an_address_may_be_written_in_another_way(request, stage, server, who):
    make = request.getfixturevalue(who)
    domain = PEER if who == "peer" else GATEWAY
    romeo = stage.login(server, "romeo", "orchard")
    to = f"ROMEO@{DOMAIN.upper()}/orchard"
    make().send(f"<message from='Mab@{domain.upper()}' to='{to}'><body>Once</body></message>")
    romeo.read_until("<body>Once</body>")
