"""biboumi, a gateway to IRC, as Debian has it: a component (XEP-0114) that is not ours.

It serves rooms of IRC channels, so that a user of ours meets somebody on another network.
"""

import secrets
import signal
import socketserver
import subprocess
import threading

import pytest

from stonechat.testing import until

IRC = "irc.capulet.example"
ROOM = f"#verona@{IRC}"
JULIET = "juliet@capulet.example/balcony"
MUC = "http://jabber.org/protocol/muc"
COMMANDS = "http://jabber.org/protocol/commands"
DEADLINE = 30.0
IRC_PORT = 6667


class IrcServer(socketserver.ThreadingTCPServer):
    """As much of RFC 2812 as it takes for one channel, with Mercutio in it, who says all twice."""

    daemon_threads = True
    # biboumi takes the usual port; nobody else has this address.
    allow_reuse_address = True

    def __init__(self, address):
        super().__init__((address, IRC_PORT), IrcUser)
        self.came = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self):
        self.shutdown()
        self.server_close()
        self._thread.join()


class IrcUser(socketserver.StreamRequestHandler):
    def handle(self):
        nick = "*"
        for line in self.rfile:
            command, _, rest = line.decode().rstrip("\r\n").partition(" ")
            self.server.came.append((command, rest))
            match command:
                case "NICK":
                    nick = rest.lstrip(":")
                case "USER":
                    self.say("irc.example", f"001 {nick} :Welcome")
                    self.say("irc.example", f"376 {nick} :End of the message of the day")
                case "JOIN":
                    self.say(f"{nick}!user@host", f"JOIN {rest}")
                    self.say("irc.example", f"353 {nick} = {rest} :{nick} mercutio")
                    self.say("irc.example", f"366 {nick} {rest} :End of the names")
                case "PRIVMSG":
                    to, _, text = rest.partition(" :")
                    self.say("mercutio!user@host", f"PRIVMSG {to} :{text}, {text}")
                case "PING":
                    self.say("irc.example", f"PONG irc.example {rest}")
                case "PART":
                    self.say(f"{nick}!user@host", f"PART {rest}")
                case "QUIT":
                    return

    def say(self, who, text):
        self.wfile.write(f":{who} {text}\r\n".encode())


@pytest.fixture
def irc():
    # One of loopback's, so that the port is free whatever else runs here.
    address = f"127.{128 + secrets.randbelow(64)}.{secrets.randbelow(256)}.2"
    try:
        server = IrcServer(address)
    except OSError as error:
        pytest.skip(f"no address for a server of IRC: {error}")
    yield server
    server.close()


@pytest.fixture
def process(tmp_path, stonechat_process):
    secret_file = tmp_path / "irc.secret"
    secret_file.write_text("Queen Mab\n")
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}},
            "listen": [{"type": "c2s", "starttls": "off"}, {"type": "component"}],
            "allow_plain_without_tls": True,
            "plugins": {
                "component": {
                    "components": [
                        {"domains": [IRC], "secret_file": str(secret_file), "name": "To IRC"}
                    ]
                },
                "disco": {},
                "ping": {},
                "roster": {},
            },
        }
    )
    process.register("juliet@capulet.example")
    return process


@pytest.fixture
def biboumi(needs, tmp_path, process, irc):
    """Starts it; it has joined then."""
    needs("biboumi")
    options = {
        "hostname": IRC,
        "password": "Queen Mab",
        "xmpp_server_ip": "127.0.0.1",
        "port": process.ports[1],
        "db_name": tmp_path / "biboumi.sqlite",
        "fixed_irc_server": irc.server_address[0],
        "log_file": tmp_path / "biboumi.log",
    }
    file = tmp_path / "biboumi.cfg"
    file.write_text("".join(f"{name}={value}\n" for name, value in options.items()))
    running = []

    def start():
        joined = events(process).count("component connected")
        with (tmp_path / "biboumi.out").open("ab") as output:
            running.append(
                subprocess.Popen(
                    ["biboumi", file], stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )
            )
        until(
            lambda: events(process).count("component connected") > joined,
            "biboumi's handshake",
            DEADLINE,
        )
        return running[-1]

    yield start
    for each in running:
        each.kill()
        each.wait(DEADLINE)


def events(process):
    return [record["event"] for record in process.records]


def test_a_user_meets_somebody_on_irc(process, slixmpp, biboumi, irc):
    gateway = biboumi()
    juliet = slixmpp.available(process, JULIET)

    items = juliet.call("xep_0030", "get_items", jid="capulet.example")
    assert (IRC, None, "To IRC") in items["disco_items"]["items"]
    assert MUC in juliet.features(IRC)
    commands = juliet.call("xep_0030", "get_items", jid=IRC, node=COMMANDS)
    assert (IRC, "ping", "Do a ping") in commands["disco_items"]["items"]

    juliet.send_raw(f"<presence to='{ROOM}/juliet'><x xmlns='{MUC}'/></presence>")
    juliet.presence(f"{ROOM}/mercutio")
    juliet.presence(f"{ROOM}/juliet")
    juliet.say(ROOM, "Ay me", "groupchat")
    assert juliet.message("Ay me")["from"] == f"{ROOM}/juliet"
    assert juliet.message("Ay me, Ay me")["from"] == f"{ROOM}/mercutio"
    assert ("PRIVMSG", "#verona :Ay me") in irc.came

    # When it ends, its users hear of it by its own word.
    gateway.send_signal(signal.SIGTERM)
    juliet.presence(f"{ROOM}/juliet", "unavailable")
    gateway.wait(DEADLINE)
    juliet.say(ROOM, "Is he gone, and hath nothing?", "groupchat")
    refusal = juliet.error_of(juliet.message("Is he gone, and hath nothing?"))
    assert refusal.condition == "remote-server-timeout"
    assert process.faults == []


def test_it_may_come_back(process, slixmpp, biboumi):
    biboumi().kill()
    until(lambda: "component disconnected" in events(process), "its end", DEADLINE)
    biboumi()
    juliet = slixmpp.available(process, JULIET)
    assert MUC in juliet.features(IRC)
