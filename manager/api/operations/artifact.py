"""`/genvm/{id}/artifact`: a run's output in parts (docs/spec/01-http-api.md#runs)."""

from __future__ import annotations

from genvm_manager.manager.api.declaration.content import Json
from genvm_manager.manager.api.declaration.errors import UNAVAILABLE, bad_request
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.declaration.parameters import choice, integer
from genvm_manager.manager.api.sources import Sources
from genvm_manager.protocol.http_api import ArtifactReply
from genvm_manager.protocol.ipc.commands import ReadArtifact
from genvm_manager.protocol.ipc.replies import ArtifactPart
from genvm_manager.protocol.ipc.runs import MAX_ARTIFACT_PART, Artifact

from .genvm import ID, NO_RUN, existing_id

_FIELD = choice("field", "Which output.", tuple(each.value for each in Artifact), has_default=False)
_OFFSET = integer(
    "offset",
    "The first byte to read, counted from the first that is kept.",
    "a whole number of bytes",
    default=0,
)
_MAX_LEN = integer(
    "max_len",
    f"The most bytes to read; never more than {MAX_ARTIFACT_PART}.",
    "a whole number of bytes",
    default=MAX_ARTIFACT_PART,
)


def read(sources: Sources) -> ArtifactReply:
    """Return a part of an output."""
    field, offset, max_len = Artifact(_FIELD.read()), _OFFSET.read(), _MAX_LEN.read()
    genvm_id = existing_id()
    command = ReadArtifact(genvm_id, field, offset, max_len)
    part = sources.supervisor.ask(command, ArtifactPart)
    return ArtifactReply.of(genvm_id, field, part)


OPERATIONS = (
    Operation(
        "GET",
        "/genvm/{genvm_id}/artifact",
        "Runs",
        "Read a part of a run's output",
        read,
        Json(
            ArtifactReply,
            {
                "genvm_id": 12_345,
                "field": "stdout",
                "state": "running",
                "dropped_bytes": 0,
                "total_len": 5,
                "data_base64": "aGVsbG8=",
            },
        ),
        "Works while the run is running, too: it reads what there is by now. `dropped_bytes` were "
        "written before the first byte that is kept: their sum with `offset` is a position in the "
        "whole output, and stays right while more is dropped.",
        (ID, _FIELD, _OFFSET, _MAX_LEN),
        errors=(
            bad_request("offset: expected a whole number of bytes, got '-1'"),
            NO_RUN,
            UNAVAILABLE,
        ),
    ),
)
