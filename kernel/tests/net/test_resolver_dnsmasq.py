"""The resolver against dnsmasq, which nobody here wrote."""

import os
import shutil
import subprocess

import pytest

from stonechat.net.resolver import NotFound, Resolver, Target
from stonechat.testing import until
from stonechat.testing.process import free_port

CONFIGURATION = """\
port={port}
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
pid-file={directory}/pid
local=/capulet.example/
srv-host=_xmpp-server._tcp.capulet.example,xmpp1.capulet.example,5269,10,50
srv-host=_xmpp-server._tcp.capulet.example,xmpp2.capulet.example,5269,20,0
srv-host=_xmpps-server._tcp.capulet.example,xmpp1.capulet.example,5270,5,0
host-record=xmpp1.capulet.example,127.0.0.2
host-record=xmpp2.capulet.example,127.0.0.3,::1
cname=alias.capulet.example,xmpp2.capulet.example
local=/montague.example/
srv-host=_xmpp-server._tcp.montague.example
"""


@pytest.fixture
def dnsmasq(tmp_path):
    """Its address, once it answers."""
    program = shutil.which("dnsmasq", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if program is None:
        if os.environ.get("STONECHAT_REQUIRE_SERVERS"):
            pytest.fail("dnsmasq is not installed", pytrace=False)
        pytest.skip("dnsmasq is not installed")
    port = free_port()
    path = tmp_path / "dnsmasq.conf"
    path.write_text(CONFIGURATION.format(port=port, directory=tmp_path))
    # As nobody, which root would become, it may not write where pytest has its directories.
    arguments = ["--keep-in-foreground", "--log-facility=-", f"--conf-file={path}", "--user=root"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([program, *arguments], stderr=log, stdout=log)
    try:
        until(
            lambda: process.poll() is not None or b"started" in (tmp_path / "log").read_bytes(),
            "dnsmasq",
        )
        assert process.poll() is None, (tmp_path / "log").read_text()
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def test_dnsmasq_is_understood(dnsmasq):
    resolver = Resolver([dnsmasq], timeout=20.0, now=lambda: 0.0)
    assert resolver.targets("capulet.example") == [
        Target("xmpp1.capulet.example", 5270, tls=True),
        Target("xmpp1.capulet.example", 5269, tls=False),
        Target("xmpp2.capulet.example", 5269, tls=False),
    ]
    assert resolver.addresses("xmpp1.capulet.example") == ["127.0.0.2"]
    assert resolver.addresses("xmpp2.capulet.example") == ["::1", "127.0.0.3"]
    assert resolver.addresses("alias.capulet.example") == ["::1", "127.0.0.3"]
    with pytest.raises(NotFound):
        resolver.addresses("nobody.capulet.example")
    assert resolver.targets("xmpp1.capulet.example") == [
        Target("xmpp1.capulet.example", 5269, tls=False)
    ]
    # Without a target dnsmasq sends a dot.
    with pytest.raises(NotFound, match="says that it has no XMPP server"):
        resolver.targets("montague.example")
