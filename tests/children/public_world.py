"""Run in a network namespace of its own: a public address on this machine, and what lies inside.

There `93.184.215.14` is ours, so that what contracts may reach can be reached in a test, on the
ports that are allowed. Prints what happened as one JSON object.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from genvm_manager.workers.web.faults import WebFault
from tests.support.packet_capture import TCP, UDP, Packet, captured_packets
from tests.support.web_module import NO_BROWSER, Client, with_module
from tests.support.web_world import NameServer, Route, name_server, site

PUBLIC = "93.184.215.14"
ELSEWHERE = "93.184.215.15"

LAN, ROUTER = "10.9.8.7", "10.9.8.1"
PAGE = Path(__file__).with_name("hostile_page.html").read_bytes()
WORKER = b"fetch('http://inside.example.com/service-worker')"
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
LOCAL_PORTS = range(32_768, 61_000)
"""The ports of pages' proxies and of DNS clients."""


ZONE = {
    "example.com": [[PUBLIC]],
    "friend.example.com": [[ELSEWHERE]],
    "inside.example.com": [["127.0.0.1"]],
    "lan.example.com": [[LAN]],
    "mixed.example.com": [["127.0.0.1", PUBLIC]],
    "rebinds.example.com": [[PUBLIC], ["127.0.0.1"]],
    "prefetched.example.com": [[PUBLIC]],
}
ROUTES: dict[str, Route] = {
    "/": b"outside",
    "/page": PAGE,
    "/worker.js": (200, {"content-type": "text/javascript"}, WORKER),
    "/to-inside": (302, {"location": "http://inside.example.com/"}, b""),
}
REQUESTS = [
    ("public", "example.com/"),
    ("mixed", "mixed.example.com/"),
    ("before rebinding", "rebinds.example.com/"),
    ("after rebinding", "rebinds.example.com/"),
    ("inside", "inside.example.com/"),
    ("redirect", "example.com/to-inside"),
]
"""The requests of a contract, in this order: what each is called, and where it goes."""


def main() -> None:
    """Set the network up, use the web module and print what happened."""
    lan = _network()
    with (
        captured_packets() as seen,
        name_server(ZONE) as names,
        site(ROUTES, PUBLIC, 80),
        site({"/frame": b"<p>a friend's"}, ELSEWHERE, 80) as friend,
        site({"/": b"inside"}, "127.0.0.1", 80) as inside,
        site({"/status": b"the service"}, "127.0.0.1", 3999) as service,
        site({"/": b"a neighbour"}, LAN, 80) as neighbour,
    ):
        config: dict[str, Any] = {"dns_servers": [names.address]}
        found = {
            name: with_module({**config, **NO_BROWSER}, _asking(f"http://{place}"))
            for name, place in REQUESTS
        }
        if sys.argv[1:]:
            config["browser_path"] = sys.argv[1]
            for _ in range(3):
                found["page"] = with_module(config, _rendering("http://example.com/page"))
                if friend.paths():  # else it was late: seen once in a hundred on a busy machine
                    break
            found["page redirect"] = with_module(config, _rendering("http://example.com/to-inside"))
            found["page inside"] = with_module(config, _rendering("http://inside.example.com/"))
        found["asked friend"] = friend.paths()
        found["asked inside"] = [*inside.paths(), *service.paths(), *neighbour.paths()]
        found["prefetched"] = "prefetched.example.com" in names.asked
        found["strange names"] = sorted(names.asked.keys() - ZONE.keys())
        found["unknown packets"] = sorted(packet for packet in seen if not _is_known(packet, names))
    os.close(lan)
    print(json.dumps(found))


def _network() -> int:
    """Set the interfaces and addresses up; return the descriptor that keeps the LAN up."""
    lan = _interface("lan0")
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "add", f"{PUBLIC}/32", "dev", "lo"],
        ["ip", "address", "add", f"{ELSEWHERE}/32", "dev", "lo"],
        ["ip", "address", "add", f"{LAN}/24", "dev", "lan0"],
        ["ip", "link", "set", "lan0", "up"],
        ["ip", "route", "add", "default", "via", ROUTER, "dev", "lan0"],
        ["ip", "neighbour", "add", ROUTER, "lladdr", "02:00:00:00:00:01", "dev", "lan0"],
    ):
        subprocess.run(command, check=True)
    return lan


def _interface(name: str) -> int:
    """Make a network interface with a carrier, but nobody at its other end.

    Return the descriptor that keeps the interface up.
    """
    cable = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(cable, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TAP | _IFF_NO_PI))
    return cable


def _is_known(packet: Packet, names: NameServer) -> bool:
    """Return whether a packet went to an allowed place.

    These are the sites, DNS, a page's proxy, and the port of the browser's default proxy, where
    nobody listens.
    """
    dns_port = int(names.address.rpartition(":")[2])
    if packet.protocol == UDP:
        return packet.address == "127.0.0.1" and dns_port in (packet.port, packet.source_port)
    is_site = packet.address in (PUBLIC, ELSEWHERE) and packet.port == 80
    is_proxy = packet.address == "127.0.0.1" and packet.port in (9, *LOCAL_PORTS)
    return packet.protocol == TCP and (is_site or is_proxy)


def _asking(url: str) -> Any:
    async def work(client: Client) -> str:
        try:
            return str((await client.request(url))["body"].decode())
        except WebFault as fault:
            return fault.code

    return work


def _rendering(url: str) -> Any:
    async def work(client: Client) -> str:
        try:
            return str(await client.render(url, wait_after_loaded="3s"))
        except WebFault as fault:
            return fault.code

    return work


if __name__ == "__main__":
    main()
