"""The service behind real reverse proxies, as docs/operations/behind-a-proxy.md says."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import httpx
import pytest
import yaml

from genvm_manager.manager.api.events.subscriber import HEARTBEAT
from genvm_manager.manager.api.limits.concurrency import SUBSCRIBERS
from genvm_manager.manager.client.client import HttpClient
from genvm_manager.protocol import calldata
from tests.support.event_stream import event_stream
from tests.support.proxies import NAME, Proxy, caddy, guide_block, nginx
from tests.support.service import RunningService, run_request
from tests.support.waiting import wait_until

TOKEN = "a-token+that/nobody=guesses"
CONFIG = f"http_workers: 1, http_threads: 8, permits: {{total: 4}}, allowed_hosts: [{NAME}]"
WITH_TOKEN = {"Authorization": f"Bearer {TOKEN}"}
SLOW = "location /slow/ {{ proxy_pass http://{backend}/; proxy_set_header Host $host; {more} }}"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    token = tmp_path_factory.mktemp("secret") / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    with RunningService("--token-file", str(token), config=f"{{{CONFIG}}}") as running:
        running.client.close()
        running.client = HttpClient(running.url, TOKEN)
        running.http.headers.update(WITH_TOKEN)
        yield running


def backend_of(service: RunningService) -> str:
    return service.url.removeprefix("http://")


@pytest.fixture(scope="module", params=[nginx, caddy], ids=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest, service: RunningService) -> Iterator[Proxy]:
    start: Callable[[str], AbstractContextManager[Proxy]] = request.param
    with start(backend_of(service)) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy) -> Iterator[httpx.Client]:
    with proxy.client() as client:
        client.headers.update(WITH_TOKEN)
        yield client


def test_the_page_comes_with_all_its_parts(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.headers["Content-Type"].startswith("text/html")
    parts = set(re.findall(r'(?:href|src)="(assets/[^"]+)"', page.text))
    assert len(parts) > 10
    for part in parts:
        got = client.get(part)
        assert got.is_success, part
        headers = {"If-None-Match": got.headers["ETag"]}
        assert client.get(part, headers=headers).status_code == 304


def test_the_buttons_of_the_page_work_and_those_of_other_sites_do_not(
    proxy: Proxy, client: httpx.Client, service: RunningService
) -> None:
    ours = {"Origin": proxy.origin, "Sec-Fetch-Site": "same-origin"}
    assert client.post("/permits", json={"permits": 5}, headers=ours).is_success
    run = service.start_run({"sleep_ms": 600_000})
    assert client.delete(f"/genvm/{run}?wait_timeout_ms=0", headers=ours).is_success
    for origin in ("https://evil.example", f"https://{NAME}.evil.example", "null"):
        theirs = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
        assert client.post("/permits", json={"permits": 6}, headers=theirs).status_code == 403
    assert client.post("/permits", json={"permits": 4}).is_success


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("port", ["", ":8443"])
def test_the_page_may_have_come_by_any_scheme_and_port(
    client: httpx.Client, scheme: str, port: str
) -> None:
    headers = {"Origin": f"{scheme}://{NAME}{port}"}
    assert client.post("/permits", json={"permits": 4}, headers=headers).is_success


def test_a_host_that_the_settings_do_not_name_is_refused(
    client: httpx.Client, service: RunningService
) -> None:
    headers = {"Host": "other.example", "X-Forwarded-Host": NAME}
    assert service.http.get("/status", headers=headers).status_code == 403
    assert client.get("/status", headers={"X-Forwarded-Host": "other.example"}).is_success


def test_the_token_is_handed_on_and_wanted(client: httpx.Client) -> None:
    assert client.get("/status").is_success
    del client.headers["Authorization"]
    assert client.get("/status").status_code == 401
    assert client.get("/healthz").is_success


def test_nobody_says_by_a_header_which_path_was_asked_for(client: httpx.Client) -> None:
    for header in ("SCRIPT_NAME", "Script-Name", "X-Script-Name", "X-Forwarded-Prefix"):
        headers = {header: "/healthz", "PATH_INFO": "/status"}
        assert client.get("/healthz/status", headers=headers).status_code == 404, header
        assert client.get("/healthz", headers=headers).is_success, header


def test_contradictory_words_about_the_scheme_mean_nothing(client: httpx.Client) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "off"}
    assert client.get("/healthz", headers=headers).is_success


def test_events_arrive_as_they_happen(proxy: Proxy, service: RunningService) -> None:
    with event_stream(proxy.url, Host=NAME, **WITH_TOKEN) as stream:
        stream.read()
        for permits in (7, 6, 5, 4):
            begun = time.monotonic()
            assert service.http.post("/permits", json={"permits": permits}).is_success
            stream.read_until(lambda view, wanted=permits: view["permits"]["max"] == wanted)  # type: ignore[misc]
            # A buffer would keep it for far longer.
            assert stream.ats[-1] - begun < HEARTBEAT / 2


def test_who_follows_and_goes_is_gone_for_the_service_too(proxy: Proxy) -> None:
    """A worker has so many places for them: they are given back."""
    for _ in range(SUBSCRIBERS // 8):
        with ExitStack() as streams:
            for _ in range(16):
                wait_until(lambda into=streams: follow(proxy, into))  # type: ignore[misc]


def follow(proxy: Proxy, streams: ExitStack) -> bool:
    try:
        streams.enter_context(event_stream(proxy.url, Host=NAME, **WITH_TOKEN)).read()
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == 503
        return False
    return True


def test_who_waits_is_told_at_the_end(client: httpx.Client, service: RunningService) -> None:
    run = service.start_run({"sleep_ms": 1000})
    begun = time.monotonic()
    status = client.get(f"/genvm/{run}?wait=25s").json()["status"]
    assert status["cause"] == "exited"
    assert 0.5 < time.monotonic() - begun < 20


def test_bodies_pass_up_to_the_limit(client: httpx.Client) -> None:
    body = calldata.encode(run_request({}, code=b"x" * (5 << 20)))
    assert client.post("/genvm/run", content=body).is_success
    beyond = client.post("/genvm/run", content=bytes((64 << 20) + 1))
    assert beyond.status_code == 413


def test_a_refusal_that_passes_says_when_to_come_again(
    client: httpx.Client, service: RunningService
) -> None:
    with service.without_supervisor():
        refused = client.get("/status")
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.json()["error"]
    assert client.get("/status").is_success


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_who_asks_for_another_protocol_gets_an_answer_in_this_one(
    client: httpx.Client, protocol: str
) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": protocol}
    assert client.get("/healthz", headers=headers).status_code in (200, 400)
    assert client.get("/healthz").is_success


def test_nginx_that_waits_less_than_a_client_leaves_the_run_alone(service: RunningService) -> None:
    backend = backend_of(service)
    slow = SLOW.format(backend=backend, more="proxy_read_timeout 1s;")
    with nginx(backend, extra=slow) as proxy, proxy.client() as client:
        client.headers.update(WITH_TOKEN)
        run = service.start_run({"sleep_ms": 4000})
        assert client.get(f"/slow/genvm/{run}?wait=60s").status_code == 504
        assert client.get(f"/slow/genvm/{run}").json()["status"] is None
        finished = client.get(f"/genvm/{run}?wait=60s").json()["status"]
        assert finished["cause"] == "exited"


def test_a_comment_line_keeps_a_stream_open_in_which_nothing_happens(
    service: RunningService,
) -> None:
    backend = backend_of(service)
    timeout = HEARTBEAT + 3
    slow = SLOW.format(backend=backend, more=f"proxy_read_timeout {timeout:.0f}s;")
    with nginx(backend, extra=slow) as proxy:
        headers = {"Host": NAME, **WITH_TOKEN}
        with event_stream(f"{proxy.url}/slow", **headers) as stream:
            stream.read()
            begun = time.monotonic()
            stream.read_comment()
            while time.monotonic() < begun + timeout:
                time.sleep(0.1)
            service.http.post("/permits", json={"permits": 9})
            stream.read_until(lambda view: view["permits"]["max"] == 9)
            service.http.post("/permits", json={"permits": 4})


def test_the_page_works_below_a_path(service: RunningService) -> None:
    backend = backend_of(service)
    below = SLOW.format(backend=backend, more="").replace("/slow/", "/manager/")
    with nginx(backend, extra=below) as proxy, proxy.client() as client:
        page = client.get("/manager/")
        parts = re.findall(r'(?:href|src)="([^"#]+)"', page.text)
        client.headers.update(WITH_TOKEN)
        for part in parts:
            assert client.get(page.url.join(part)).is_success, part
            assert page.url.join(part).path.startswith("/manager/")
        docs = client.get("/manager/docs")
        assert 'href="openapi.json"' in docs.text
        script = client.get("/manager/assets/stream.js").text
        assert '"/events"' not in script


def test_the_block_for_traefik_names_what_it_is_about() -> None:
    block = yaml.safe_load(guide_block("traefik"))["http"]
    (router,) = block["routers"].values()
    assert router["rule"] == f"Host(`{NAME}`)"
    servers = block["services"][router["service"]]["loadBalancer"]["servers"]
    assert servers == [{"url": "http://127.0.0.1:3999"}]
