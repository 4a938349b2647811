"""A client that `openapi-python-client` makes from the document, used against a real service."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from types import ModuleType
from typing import Any

import httpx
import pytest

from genvm_manager.manager.api.declaration.content import Json
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.openapi.document import encoded_document
from genvm_manager.manager.api.operations import OPERATIONS
from genvm_manager.manager.api.operations.run import EXAMPLE_REQUEST
from genvm_manager.protocol import calldata
from tests.support.service import RunningService, run_request
from tests.support.waiting import TIMEOUT

PACKAGE = "generated_genvm_client"
STREAMS = ("get_events",)
"""Their replies have no end, which the generated functions would wait for."""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ModuleType]]:
    """All modules of the generated client, imported, by their names within it."""
    folder = tmp_path_factory.mktemp("generated")
    document = folder / "openapi.json"
    document.write_bytes(encoded_document(OPERATIONS))
    settings = folder / "settings.json"
    # The generator would have its output formatted by a program of another package.
    settings.write_text('{"post_hooks": []}')
    command = ("generate", "--meta", "none", "--fail-on-warning", "--config", str(settings))
    place = ("--path", str(document), "--output-path", str(folder / PACKAGE))
    made = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", *command, *place],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    try:
        package = importlib.import_module(PACKAGE)
        names = [each.name for each in pkgutil.walk_packages(package.__path__, f"{PACKAGE}.")]
        yield {name.removeprefix(f"{PACKAGE}."): importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(folder))
        for name in [each for each in sys.modules if each.split(".")[0] == PACKAGE]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with RunningService(config="{http_workers: 1, http_threads: 16, permits: {total: 8}}") as it:
        yield it


@pytest.fixture
def client(generated: dict[str, ModuleType], service: RunningService) -> Any:
    return generated["client"].Client(
        base_url=service.url, timeout=httpx.Timeout(TIMEOUT), raise_on_unexpected_status=True
    )


def endpoint(generated: dict[str, ModuleType], operation: Operation) -> ModuleType:
    """The generated module of an operation."""
    return generated[f"api.{operation.tag.lower()}.{operation.name}"]


def arguments(generated: dict[str, ModuleType], operation: Operation) -> dict[str, Any]:
    """The document's examples of all that the operation requires, for its generated functions."""
    function = endpoint(generated, operation).sync_detailed
    kinds = {name: each.annotation for name, each in inspect.signature(function).parameters.items()}
    given: dict[str, Any] = {}
    for each in operation.parameters:
        if each.is_required:
            name = each.name.replace("-", "_").lower()
            given[name] = kinds[name](each.example)
    if operation.bodies:
        given["body"] = body(generated, operation)
    return given


def body(generated: dict[str, ModuleType], operation: Operation) -> Any:
    content = operation.bodies[0]
    if isinstance(content, Json):
        model = getattr(generated["models"], content.struct.__name__)
        return model.from_dict(content.example)
    return generated["types"].File(payload=BytesIO(content.example.encode()))


def test_each_operation_has_its_functions(generated: dict[str, ModuleType]) -> None:
    for operation in OPERATIONS:
        module = endpoint(generated, operation)
        for function in ("sync_detailed", "asyncio_detailed"):
            assert callable(getattr(module, function)), operation.name
    made = {name for name in generated if name.count(".") == 2 and name.startswith("api.")}
    assert len(made) == len(OPERATIONS)


@pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if each.name not in STREAMS], ids=lambda it: it.name
)
def test_each_operation_can_be_called(
    generated: dict[str, ModuleType], client: Any, operation: Operation
) -> None:
    module = endpoint(generated, operation)
    response = module.sync_detailed(client=client, **arguments(generated, operation))
    assert response.status_code in {200, *operation.error_cases()}, response
    if response.status_code != 200:
        assert isinstance(response.parsed, generated["models"].ErrorReply)
        assert response.parsed.error
    elif isinstance(operation.reply, Json) and not operation.reply.is_list:
        kind = getattr(generated["models"], operation.reply.struct.__name__)
        assert isinstance(response.parsed, kind)


def test_a_run_can_be_started_in_both_forms_and_read(
    generated: dict[str, ModuleType], client: Any
) -> None:
    models, api = generated["models"], "api.runs"
    run = run_request()
    as_bytes = generated["types"].File(payload=BytesIO(calldata.encode(run)))
    names = ("host", "timestamp")
    as_json = models.RunRequest.from_dict(EXAMPLE_REQUEST | {name: run[name] for name in names})
    for form in (as_bytes, as_json):
        started = generated[f"{api}.post_genvm_run"].sync(client=client, body=form)
        assert isinstance(started, models.RunStarted)
        read = generated[f"{api}.get_genvm_genvm_id"].sync(started.id, client=client, wait="60s")
        assert isinstance(read.status, models.FinishedRunReply), read
        assert read.status.cause == models.Cause.EXITED
    parts = generated[f"{api}.get_genvm_genvm_id_artifact"]
    part = parts.sync(
        started.id, client=client, field=models.GetGenvmGenvmIdArtifactField.STDOUT, max_len=10
    )
    assert isinstance(part, models.ArtifactReply)
