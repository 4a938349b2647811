"""Captures every packet that leaves in a network namespace, whichever process sends it."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import threading
from collections.abc import Iterator
from typing import NamedTuple

_ALL_PROTOCOLS = 0x0003
_IPV4, _IPV6 = 0x0800, 0x86DD
TCP, UDP = 6, 17
_OF_THE_KERNEL = (0, 2, 58)
"""Hop-by-hop options, IGMP, ICMPv6: the kernel sends these to find neighbours."""

_SYN, _ACK = 0x02, 0x10


class Packet(NamedTuple):
    """The first packet of a TCP connection, or any packet of another protocol, by its number."""

    protocol: int
    source_port: int
    address: str
    port: int


@contextlib.contextmanager
def captured_packets() -> Iterator[set[Packet]]:
    """Capture while the context is entered; the set grows. Needs root."""
    seen: set[Packet] = set()
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS)) as tap:
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        tap.settimeout(0.1)
        ended = threading.Event()

        def watch() -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    data, (_, kind, direction, *_rest) = tap.recvfrom(65_535)
                    if direction == socket.PACKET_OUTGOING and (packet := _read(kind, data)):
                        seen.add(packet)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield seen
        finally:
            ended.set()
            thread.join()


def _read(kind: int, data: bytes) -> Packet | None:
    """Return None for a packet of a known connection, and for the kernel's own packets."""
    if kind == _IPV4:
        protocol, address, body = data[9], data[16:20], data[(data[0] & 15) * 4 :]
    elif kind == _IPV6:
        protocol, address, body = data[6], data[24:40], data[40:]
    else:
        return Packet(kind, 0, "", 0)
    shown = str(ipaddress.ip_address(address))
    if protocol in _OF_THE_KERNEL:
        return None
    if protocol not in (TCP, UDP):
        return Packet(protocol, 0, shown, 0)
    if protocol == TCP and body[13] & (_SYN | _ACK) != _SYN:
        return None
    source_port, port = struct.unpack(">HH", body[:4])
    return Packet(protocol, source_port, shown, port)
