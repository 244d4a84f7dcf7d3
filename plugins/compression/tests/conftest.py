"""Streams that are logged in and not bound, and what clients compress with."""

import sys
from pathlib import Path

import pytest

# What several files of tests share is in a module beside them, which pytest's import mode puts
# in nobody's reach.
sys.path.insert(0, str(Path(__file__).parent))

from compressed_clients import COMPRESS, PASSWORD, Zlib


@pytest.fixture
def host(server):
    server.configure(allow_plain_without_tls=True)
    host = server.host("capulet.example", compression={})
    host.create_account("juliet", PASSWORD)
    return host


@pytest.fixture
def log_in(host):
    """Makes streams of Juliet's, open again after the login."""

    def log_in(**how):
        stream = host.open_stream(**{"tls": True, **how})
        assert stream.authenticate("juliet", PASSWORD).name == "success"
        stream.open()
        return stream

    return log_in


@pytest.fixture
def compress(log_in):
    """Makes streams of hers that are compressed, and not open again yet."""

    def compress(zlib=None, **how):
        stream = log_in(**how)
        stream.send(COMPRESS)
        assert stream.receive_element().name == "compressed"
        stream.transform(zlib or Zlib())
        return stream

    return compress
