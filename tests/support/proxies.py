"""Real reverse proxies before a service, with the blocks of docs/operations/behind-a-proxy.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.conftest import PROJECT

from .certificates import make_certificate
from .studio import free_port
from .waiting import TIMEOUT, wait_until

GUIDE = (PROJECT / "docs/operations/behind-a-proxy.md").read_text()
NAME = "genvm.example.org"
"""Of the service, in the blocks of the guide."""

_BACKEND = "127.0.0.1:3999"
_FETCHED = PROJECT / ".venv" / "proxies" / "usr"
"""Where `scripts/test` puts what is not installed."""

_PATH = os.pathsep.join((f"{_FETCHED}/sbin", f"{_FETCHED}/bin", os.defpath, "/usr/sbin"))
_NGINX = """\
daemon off; master_process off; pid nginx.pid; error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off; gzip on; gzip_types *; gzip_proxied any;
    client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; scgi_temp_path scgi; uwsgi_temp_path uwsgi;
    {block}
}}
"""


@dataclass(frozen=True)
class Proxy:
    """A proxy that serves `url`; its clients ask for `NAME`."""

    url: str

    @property
    def origin(self) -> str:
        """What a browser says of a page that it got from here."""
        scheme, _, address = self.url.partition("://")
        return f"{scheme}://{NAME}:{address.rpartition(':')[2]}"

    def client(self) -> httpx.Client:
        """Return an HTTP client of the proxy."""
        return httpx.Client(
            base_url=self.url, headers={"Host": NAME}, verify=False, timeout=TIMEOUT
        )


def guide_block(kind: str) -> str:
    """Return the configuration of one kind in the guide's page about proxies."""
    (block,) = re.findall(rf"^```{kind}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    return str(block)


@contextmanager
def nginx(backend: str, *, extra: str = "") -> Iterator[Proxy]:
    """Run nginx with the guide's block, and `extra` directives in it, in front of `HOST:PORT`."""
    with _folder("nginx") as folder:
        make_certificate(folder, NAME)
        port = free_port()
        block = guide_block("nginx").replace(_BACKEND, backend)
        for old, new in {
            r"listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
            r"ssl_certificate .*;": "ssl_certificate certificate.pem;",
            r"ssl_certificate_key .*;": f"ssl_certificate_key key.pem;\n{extra}",
        }.items():
            block, count = re.subn(old, new, block)
            assert count == 1, f"the guide's block has {old} {count} times"
        (folder / "nginx.conf").write_text(_NGINX.format(block=block))
        command = ["nginx", "-p", str(folder), "-e", "stderr", "-c", "nginx.conf"]
        with _running(command, f"https://127.0.0.1:{port}", folder) as proxy:
            yield proxy


@contextmanager
def caddy(backend: str) -> Iterator[Proxy]:
    """Run Caddy with the guide's block in front of `HOST:PORT`.

    Without TLS: it would fetch a certificate.
    """
    with _folder("caddy") as folder:
        port = free_port()
        block = guide_block("caddy").replace(_BACKEND, backend)
        assert block.startswith(f"{NAME} {{\n")
        block = block.replace(f"{NAME} {{", f"http://{NAME}:{port} {{", 1)
        (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n}}\n{block}")
        command = ["caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
        with _running(command, f"http://127.0.0.1:{port}", folder) as proxy:
            yield proxy


@contextmanager
def _folder(program: str) -> Iterator[Path]:
    """Make a folder for a proxy of this kind; skip the test without its program."""
    if shutil.which(program, path=_PATH) is None:
        pytest.skip(f"there is no {program} here: run scripts/test, which fetches it")
    with tempfile.TemporaryDirectory(prefix=f"genvm-{program}-") as folder:
        yield Path(folder)


@contextmanager
def _running(command: list[str], url: str, folder: Path) -> Iterator[Proxy]:
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(shutil.which(command[0], path=_PATH)), *command[1:]],
            cwd=folder,
            env={"PATH": _PATH, "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        proxy = Proxy(url)
        with proxy.client() as client:
            wait_until(lambda: _answers(client, process, log))
        yield proxy
    finally:
        process.terminate()
        process.wait(TIMEOUT)


def _answers(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return client.get("/healthz").is_success
    except httpx.TransportError:
        return False
