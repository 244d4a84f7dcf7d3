"""PROXY protocol, versions 1 and 2: whom the proxy in front of us speaks for.

Bytes in, header out, no socket. Use it only on listeners that nobody but the proxy
can reach, for whoever can send this header can claim any address.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from stonechat.errors import StonechatError

_V1_START = b"PROXY "
_V1_MAX = 107  # with its line end, so says the specification, section 2.1
_V2_START = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED = 16
# Addresses of Unix sockets take 216 octets; what follows are remarks of the proxy.
_V2_MAX_BODY = 4096

_LOCAL, _PROXY = 0, 1
_UNSPECIFIED, _INET, _INET6, _UNIX = 0, 1, 2, 3
_CRC32C = 0x03


class ProxyError(StonechatError, ValueError):
    """What came first is no PROXY header. Close; there is nothing to answer."""


class ProxyAddress(NamedTuple):
    """One end of the proxied connection. `host` is a path, and `port` 0, for a Unix socket."""

    host: str
    port: int


class ProxyHeader(NamedTuple):
    """Both ends as the proxy sees them, and the first bytes of the connection itself.

    Without ends the connection is the proxy's own, a health check for example, or
    comes by a way that has no addresses: the socket's own ends count then.
    """

    source: ProxyAddress | None
    destination: ProxyAddress | None
    rest: bytes


class ProxyParser:
    """Reads one header. Not to be fed again after it gave the header or raised."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> ProxyHeader | None:
        """The header, once it is whole; None while more is needed; ProxyError if it is none."""
        buffer = self._buffer = self._buffer + data
        if buffer.startswith(_V2_START):
            return _read_v2(buffer)
        if buffer.startswith(_V1_START):
            return _read_v1(buffer)
        if _V2_START.startswith(buffer) or _V1_START.startswith(buffer):
            return None
        raise ProxyError("the connection does not begin with a PROXY header")


def _read_v1(buffer: bytes) -> ProxyHeader | None:
    end = buffer.find(b"\r\n", 0, _V1_MAX)
    if end < 0:
        if len(buffer) >= _V1_MAX:
            raise ProxyError(f"the PROXY line is longer than {_V1_MAX} octets")
        return None
    rest = buffer[end + 2 :]
    family, *fields = buffer[len(_V1_START) : end].split(b" ")
    if family == b"UNKNOWN":
        # Whatever stands after it has no meaning (section 2.1).
        return ProxyHeader(None, None, rest)
    if family not in (b"TCP4", b"TCP6") or len(fields) != 4:
        raise ProxyError("the PROXY line has not the six fields of TCP4 or TCP6")
    af = socket.AF_INET if family == b"TCP4" else socket.AF_INET6
    source, destination, source_port, destination_port = fields
    return ProxyHeader(
        ProxyAddress(_address_v1(af, source), _port_v1(source_port)),
        ProxyAddress(_address_v1(af, destination), _port_v1(destination_port)),
        rest,
    )


def _address_v1(af: socket.AddressFamily, text: bytes) -> str:
    try:
        return socket.inet_ntop(af, socket.inet_pton(af, text.decode("ascii")))
    except (OSError, ValueError) as error:
        raise ProxyError("the PROXY line has an address that is none of its family") from error


def _port_v1(text: bytes) -> int:
    # int() would take signs, spaces and underscores too.
    if text.isdigit() and len(text) <= 5 and (text == b"0" or not text.startswith(b"0")):
        port = int(text)
        if port <= 0xFFFF:
            return port
    raise ProxyError("the PROXY line has a port that is no port number")


def _read_v2(buffer: bytes) -> ProxyHeader | None:
    if len(buffer) < _V2_FIXED:
        return None
    version_command, family_transport, length = struct.unpack_from("!BBH", buffer, 12)
    version, command = version_command >> 4, version_command & 0xF
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise ProxyError("the PROXY header has an unknown version or command")
    if length > _V2_MAX_BODY:
        raise ProxyError(f"the PROXY header is longer than {_V2_FIXED + _V2_MAX_BODY} octets")
    family, transport = family_transport >> 4, family_transport & 0xF
    if family > _UNIX or transport > 2:
        raise ProxyError("the PROXY header has an unknown address family or transport")
    end = _V2_FIXED + length
    if len(buffer) < end:
        return None
    header, rest = buffer[:end], buffer[end:]
    if command == _LOCAL or family == _UNSPECIFIED:
        # Whatever stands in the place of the addresses has no meaning (section 2.2).
        return ProxyHeader(None, None, rest)
    source, destination, remarks = _addresses_v2(family, header)
    _check_remarks(header, remarks)
    return ProxyHeader(source, destination, rest)


def _addresses_v2(family: int, header: bytes) -> tuple[ProxyAddress, ProxyAddress, int]:
    """Source, destination, and where in the header they end."""
    try:
        if family == _INET:
            source, destination, *ports = struct.unpack_from("!4s4sHH", header, _V2_FIXED)
            hosts = [socket.inet_ntop(socket.AF_INET, end) for end in (source, destination)]
            size = 12
        elif family == _INET6:
            source, destination, *ports = struct.unpack_from("!16s16sHH", header, _V2_FIXED)
            hosts = [socket.inet_ntop(socket.AF_INET6, end) for end in (source, destination)]
            size = 36
        else:
            paths = struct.unpack_from("!108s108s", header, _V2_FIXED)
            # Python's own spelling of paths that are not UTF-8 (PEP 383).
            hosts = [path.rstrip(b"\0").decode("utf-8", "surrogateescape") for path in paths]
            ports = [0, 0]
            size = 216
    except struct.error as error:
        raise ProxyError("the PROXY header is too short for its addresses") from error
    first, second = (ProxyAddress(*pair) for pair in zip(hosts, ports, strict=True))
    return first, second, _V2_FIXED + size


def _check_remarks(header: bytes, position: int) -> None:
    """Walk the type-length-value fields; none of them matters to us but the checksum."""
    while position < len(header):
        if position + 3 > len(header):
            raise ProxyError("the PROXY header ends inside a field")
        kind, length = struct.unpack_from("!BH", header, position)
        start, position = position + 3, position + 3 + length
        if position > len(header):
            raise ProxyError("the PROXY header ends inside a field")
        if kind == _CRC32C:
            # Over the whole header, with nought in the place of the sum (section 2.2.3).
            blank = header[:start] + b"\0" * length + header[position:]
            if _crc32c(blank) != int.from_bytes(header[start:position], "big"):
                raise ProxyError("the PROXY header has a wrong checksum")


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
