"""What `benchmarks/start` promises to a load generator."""

import base64
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from stonechat.testing.process import free_port

START = Path(__file__).parents[1] / "benchmarks" / "start"
DOMAIN = "bench.example"
HEADER = (
    f"<stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)
SECONDS = 60.0  # a bound on a hang
PASSWORD = "secret"  # short, as load generators have it

# Of a server: a descriptor of its process, which no other process can inherit by its
# number, and its first port.
Begin = Callable[[], tuple[int, int]]
CPU = min(os.sched_getaffinity(0))


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Starts the server to measure."""
    processes: list[int] = []

    def start() -> tuple[int, int]:
        port, tls_port = free_port(), free_port()
        done = subprocess.run(
            [sys.executable, START, "base", str(port), str(tls_port), tmp_path / "bench"],
            env={**os.environ, "PYTHON": sys.executable, "CPUS": str(CPU)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        found = re.match(rf"pid=(\d+) port={port} tlsport={tls_port} ", done.stdout)
        assert found, done.stdout + done.stderr
        assert os.sched_getaffinity(int(found[1])) == {CPU}
        processes.append(os.pidfd_open(int(found[1])))
        return processes[-1], port

    yield start
    for process in processes:
        end(process, signal.SIGKILL)
        os.close(process)


def end(process: int, number: signal.Signals) -> None:
    """Send a signal, and wait until the process is gone."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, number)
    ended, _, _ = select.select([process], [], [], SECONDS)
    assert ended, "the server does not end"


def exchange(stream: socket.socket, text: str, end: str) -> str:
    stream.sendall(text.encode())
    answer = b""
    while end.encode() not in answer:
        piece = stream.recv(4096)
        assert piece, answer
        answer += piece
    return answer.decode()


def opened(port: int) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", port), SECONDS)
    exchange(stream, HEADER, "</stream:features>")
    return stream


def register(port: int, name: str) -> str:
    query = f"<username>{name}</username><password>{PASSWORD}</password>"
    request = f"<iq type='set' id='r'><query xmlns='jabber:iq:register'>{query}</query></iq>"
    with opened(port) as stream:
        return exchange(stream, request, ">")


def log_in(port: int, name: str) -> str:
    text = base64.b64encode(f"\0{name}\0{PASSWORD}".encode()).decode()
    request = f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{text}</auth>"
    with opened(port) as stream:
        return exchange(stream, request, ">")


def test_one_address_registers_as_many_as_it_likes_and_logs_in_without_tls(begin):
    _, port = begin()
    for number in range(12):
        assert "type='result'" in register(port, f"u{number}")
    assert "<success" in log_in(port, "u11")


def test_accounts_that_are_there_stay(begin):
    process, port = begin()
    assert "type='result'" in register(port, "romeo")
    end(process, signal.SIGTERM)
    _, port = begin()
    assert "<success" in log_in(port, "romeo")
