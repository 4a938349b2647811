"""Run in a network namespace of its own: a public address on this machine, and what lies inside.

There `93.184.215.14` is ours, so that what contracts may reach can be reached in a test, on the
ports that are allowed. Prints what happened as one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.support.web_module import NO_BROWSER, Client, with_module
from tests.support.web_world import name_server, site
from workers.web.faults import WebFault

PUBLIC = "93.184.215.14"
ELSEWHERE = "93.184.215.15"

PAGE = b"""<p>outside</p>
<iframe src="http://inside.example.com/frame"></iframe>
<iframe src="http://127.0.0.1/frame"></iframe>
<iframe src="http://friend.example.com/frame"></iframe>
<img src="http://inside.example.com/image">
<img src="http://[::1]/image">
<img src="http://friend.example.com:8080/image">
<link rel="stylesheet" href="http://inside.example.com/style">
<link rel="dns-prefetch" href="//prefetched.example.com">
<script src="http://inside.example.com/script"></script>
<script>
  fetch("http://inside.example.com/fetch", {mode: "no-cors"}).catch(() => {});
  navigator.sendBeacon("http://inside.example.com/beacon", "x");
  new WebSocket("ws://inside.example.com/socket");
  new Worker(URL.createObjectURL(new Blob(["fetch('http://inside.example.com/worker')"])));
  const peer = new RTCPeerConnection({iceServers: [{urls: "stun:inside.example.com:80"}]});
  peer.createDataChannel("x");
  peer.createOffer().then(offer => peer.setLocalDescription(offer));
  open("http://inside.example.com/popup");
</script>"""


def main() -> None:
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "add", f"{PUBLIC}/32", "dev", "lo"],
        ["ip", "address", "add", f"{ELSEWHERE}/32", "dev", "lo"],
    ):
        subprocess.run(command, check=True)
    zone = {
        "example.com": [[PUBLIC]],
        "friend.example.com": [[ELSEWHERE]],
        "inside.example.com": [["127.0.0.1"]],
        "mixed.example.com": [["127.0.0.1", PUBLIC]],
        "rebinds.example.com": [[PUBLIC], ["127.0.0.1"]],
        "prefetched.example.com": [[PUBLIC]],
    }
    routes = {"/": b"outside", "/page": PAGE, "/to-inside": (302, _to("inside"), b"")}
    with (
        name_server(zone) as names,
        site(routes, PUBLIC, 80),
        site({"/frame": b"<p>a friend's"}, ELSEWHERE, 80) as friend,
        site({"/": b"inside"}, "127.0.0.1", 80) as inside,
    ):
        config: dict[str, Any] = {"dns_servers": [names.address]}
        found = {
            name: with_module({**config, **NO_BROWSER}, _asking(f"http://{place}"))
            for name, place in [
                ("public", "example.com/"),
                ("mixed", "mixed.example.com/"),
                ("before rebinding", "rebinds.example.com/"),
                ("after rebinding", "rebinds.example.com/"),
                ("inside", "inside.example.com/"),
                ("redirect", "example.com/to-inside"),
            ]
        }
        if "--render" in sys.argv:
            found["page"] = with_module(config, _rendering("http://example.com/page"))
            found["page redirect"] = with_module(config, _rendering("http://example.com/to-inside"))
            found["page inside"] = with_module(config, _rendering("http://inside.example.com/"))
        found["asked friend"] = friend.paths()
        found["asked inside"] = inside.paths()
        found["prefetched"] = "prefetched.example.com" in names.asked
    print(json.dumps(found))


def _to(host: str) -> dict[str, str]:
    return {"location": f"http://{host}.example.com/"}


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
            return str(await client.render(url, wait_after_loaded="1s"))
        except WebFault as fault:
            return fault.code

    return work


if __name__ == "__main__":
    main()
