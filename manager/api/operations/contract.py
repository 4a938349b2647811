"""`/contract`: what a node has to know of a contract before it deploys it.

Source: docs/spec/01-http-api.md#contracts.
"""

from __future__ import annotations

from base64 import b64encode

from genvm_manager.base.text.timestamps import parse_rfc3339
from genvm_manager.manager.api.declaration.content import BYTES, Json, Plain
from genvm_manager.manager.api.declaration.errors import UNAVAILABLE, bad_request, failed
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.declaration.parameters import Parameter
from genvm_manager.manager.api.sources import Sources
from genvm_manager.protocol.contract.code import specified_major
from genvm_manager.protocol.contract.storage_layout import pre_deploy_writes
from genvm_manager.protocol.http_api import DetectedVersion, PreDeployWrites
from genvm_manager.protocol.ipc.commands import GetNewestMajor
from genvm_manager.protocol.ipc.replies import NewestMajor

EXAMPLE_CONTRACT = (
    '# { "Depends": "py-genlayer:test" }\n'
    "from genlayer import *\n\n\n"
    "class Hello(gl.Contract):\n"
    "    def __init__(self):\n"
    "        pass\n\n"
    "    @gl.public.view\n"
    "    def greet(self) -> str:\n"
    '        return "hello"\n'
)

# `format: date-time` would say the same, but generators of clients take it for a type that they
# cannot put into a header, and leave the operation out.
DEPLOYED_AT = Parameter(
    "Deployment-Timestamp",
    "header",
    "When the contract is deployed, in RFC 3339 with an offset.",
    {
        "type": "string",
        "pattern": r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$",
    },
    "2026-01-31T12:00:00Z",
    lambda text: parse_rfc3339(text).timestamp(),
)
"""Read as seconds since 1970."""

CODE = Plain(
    BYTES,
    "The contract's code: Python, WebAssembly or ZIP.",
    EXAMPLE_CONTRACT,
    is_binary=True,
)
BAD_TIME = bad_request(
    "Deployment-Timestamp: expected RFC 3339 such as 2026-01-31T12:00:00Z, got 'yesterday'"
)
NO_VERSION = failed(
    "The manifest offers no executor at that time.",
    "the manifest offers no executor at 1999-01-31T12:00:00.000Z",
)


def newest_major(sources: Sources, deployed_at: float) -> int:
    """Return the newest major that the manifest offers at a time, in seconds since 1970."""
    return sources.supervisor.ask(GetNewestMajor(deployed_at), NewestMajor).major


def detect_version(sources: Sources) -> DetectedVersion:
    """Return the major that the code asks for."""
    return DetectedVersion(_code_and_major(sources)[1])


def writes_before_deployment(sources: Sources) -> PreDeployWrites:
    """Return what the node has to write to storage."""
    code, major = _code_and_major(sources)
    found = pre_deploy_writes(major, code)
    return PreDeployWrites([(write.key, write.content) for write in found])


def _code_and_major(sources: Sources) -> tuple[bytes, int]:
    code = CODE.read()
    newest = newest_major(sources, DEPLOYED_AT.read())
    return code, specified_major(code, newest)


_EXAMPLE_WRITES = [
    [b64encode(part).decode() for part in (write.key, write.content)]
    for write in pre_deploy_writes(0, EXAMPLE_CONTRACT.encode())
]

OPERATIONS = (
    Operation(
        "POST",
        "/contract/detect-version",
        "Contracts",
        "Find the major that a contract asks for",
        detect_version,
        Json(DetectedVersion, {"specified_major": 0}),
        "At most the newest that the manifest offers at that time.",
        (DEPLOYED_AT,),
        (CODE,),
        (BAD_TIME, NO_VERSION, UNAVAILABLE),
    ),
    Operation(
        "POST",
        "/contract/pre-deploy-writes",
        "Contracts",
        "Find what to write to storage before a deployment",
        writes_before_deployment,
        Json(PreDeployWrites, {"writes": _EXAMPLE_WRITES}),
        "A node writes these, then starts the run that deploys the contract.",
        (DEPLOYED_AT,),
        (CODE,),
        (BAD_TIME, NO_VERSION, UNAVAILABLE),
    ),
)
