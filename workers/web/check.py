"""Checks whether pages can be rendered: `python -m genvm_manager.workers.web.check`.

It starts a browser, ends it, and prints check results (`genvm_manager.base.check_result`).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from genvm_manager.base.check_result import CheckResult, encode_results, failure, ok, warning
from genvm_manager.base.errors import BadRequest
from genvm_manager.base.logging.event_log import event_log
from genvm_manager.base.text.yaml_text import load_yaml
from genvm_manager.workers.web.browser.pool import BrowserPool

from .config import WebConfig, parse_config
from .faults import WebFault

TOPIC = "browser"

WEBDRIVER_TIMEOUT = 5.0


def main() -> int:
    """Check and print the result; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m genvm_manager.workers.web.check")
    parser.add_argument("--config", type=Path, help="the web module's settings")
    arguments = parser.parse_args()
    try:
        result = asyncio.run(_check(_config(arguments.config)))
    except (BadRequest, OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        advice = "correct it; the file explains its keys"
        result = failure(TOPIC, f"{arguments.config}: {error}", advice)
    sys.stdout.buffer.write(encode_results([result]))
    return 0


def _config(path: Path | None) -> WebConfig:
    value = load_yaml(path.read_text("utf-8-sig")) if path else {}
    if not isinstance(value, dict):
        raise BadRequest("expected a map of keys")
    return parse_config(value)[0]


async def _check(config: WebConfig) -> CheckResult:
    if config.webdriver_host:
        return await _check_webdriver(config.webdriver_host)
    log = event_log("genvm_manager.workers.web")
    pool = BrowserPool(config.browser_path, 1, config.max_page_memory, log)
    try:
        async with pool.acquire("about:blank") as browser:
            product = (await browser.tools.send("Browser.getVersion"))["product"]
            return _check_isolation(str(product), pool)
    except WebFault as fault:
        return warning(
            TOPIC,
            f"contracts can fetch but not render pages: {fault.reason}",
            "on Debian: apt-get install chromium-headless-shell; "
            "or set browser_path or webdriver_host",
        )
    finally:
        await pool.close()


def _check_isolation(product: str, pool: BrowserPool) -> CheckResult:
    says = f"{product} starts, as {pool.isolation}"
    if pool.isolation.has_sandbox:
        return ok(TOPIC, says)
    return warning(
        TOPIC,
        says,
        "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1), "
        "and as root have setpriv (Debian: util-linux)",
    )


async def _check_webdriver(url: str) -> CheckResult:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(WEBDRIVER_TIMEOUT):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, TimeoutError):
        return failure(TOPIC, f"webdriver_host: {url} does not answer", "start that service")
    writer.close()
    return ok(TOPIC, f"the webdriver service at {url} answers")


if __name__ == "__main__":
    sys.exit(main())
