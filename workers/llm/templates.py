"""Prompt templates for judges and leaders, into which a contract's texts are inserted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

import msgspec

BOUNDARY = "boundary"
"""Each template may also have `#{boundary}`: a word that occurs in none of the inserted texts, so
that no text can pretend to end early."""

_PLACEHOLDER = re.compile(r"#\{([a-z_]+)\}")


class TemplateKind(Enum):
    """The templates that contracts can ask for; the value is the key in the configuration."""

    EQ_COMPARATIVE = "eq_comparative"
    EQ_NON_COMPARATIVE_LEADER = "eq_non_comparative_leader"
    EQ_NON_COMPARATIVE_VALIDATOR = "eq_non_comparative_validator"

    @property
    def placeholders(self) -> tuple[str, ...]:
        """The texts that a request of this kind carries, and that its template must have."""
        return _PLACEHOLDERS[self]

    @property
    def is_judge(self) -> bool:
        """Whether the answer is a boolean."""
        return self is not TemplateKind.EQ_NON_COMPARATIVE_LEADER


_PLACEHOLDERS = {
    TemplateKind.EQ_COMPARATIVE: ("leader_answer", "validator_answer", "principle"),
    TemplateKind.EQ_NON_COMPARATIVE_LEADER: ("task", "criteria", "input"),
    TemplateKind.EQ_NON_COMPARATIVE_VALIDATOR: ("task", "criteria", "input", "output"),
}

REQUESTED = {
    "EqComparative": TemplateKind.EQ_COMPARATIVE,
    "EqNonComparativeLeader": TemplateKind.EQ_NON_COMPARATIVE_LEADER,
    "EqNonComparativeValidator": TemplateKind.EQ_NON_COMPARATIVE_VALIDATOR,
}
"""Kinds by the names that requests give them (docs/spec/05-modules.md#llm-requests)."""


class Template(msgspec.Struct, frozen=True):
    """One template; placeholders `#{name}` may stand in either part."""

    user: str
    system: str | None = None

    def missing(self, kind: TemplateKind) -> list[str]:
        """Return the placeholders of the kind that neither part has."""
        found = set(_PLACEHOLDER.findall(f"{self.system or ''}\n{self.user}"))
        return [name for name in kind.placeholders if name not in found]

    def filled(self, texts: Mapping[str, str]) -> Filled:
        """Return the template with the texts inserted; a placeholder inside a text is kept."""
        values = {**texts, BOUNDARY: _boundary(texts)}

        def put_in(part: str) -> str:
            return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), part)

        return Filled(put_in(self.system) if self.system else None, put_in(self.user))


class Filled(NamedTuple):
    """What is sent to a model."""

    system: str | None
    user: str


def _boundary(texts: Mapping[str, str]) -> str:
    """Return the same word for the same texts; no text can hold it, as it depends on each."""
    digest = hashlib.sha256()
    for name in sorted(texts):
        digest.update(hashlib.sha256(texts[name].encode()).digest())
    return digest.hexdigest()[:32]
