"""The part of numpy that contracts use, written in Python, since CPython for WASI has no other.

Source: docs/contract-authors.md#numpy-and-embeddings.

Numbers have the types of numpy, and wrap or round as they do there. A sum is exact and rounded
once, so that no order of adding shows.
"""

from __future__ import annotations

import math

from . import _types, dtypes, linalg
from ._array import ndarray
from ._functions import (
    absolute,
    add,
    allclose,
    arange,
    arccos,
    arcsin,
    arctan,
    argmax,
    argmin,
    argsort,
    around,
    array,
    array_equal,
    asarray,
    average,
    broadcast_to,
    cbrt,
    ceil,
    clip,
    concatenate,
    copy,
    cos,
    cosh,
    count_nonzero,
    cumsum,
    deg2rad,
    degrees,
    divide,
    dot,
    equal,
    exp,
    expand_dims,
    expm1,
    eye,
    fabs,
    floor,
    floor_divide,
    frombuffer,
    fromiter,
    full,
    full_like,
    greater,
    greater_equal,
    hstack,
    hypot,
    inner,
    isclose,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    linspace,
    log,
    log1p,
    log2,
    log10,
    logical_and,
    logical_not,
    logical_or,
    matmul,
    maximum,
    mean,
    median,
    minimum,
    mod,
    multiply,
    negative,
    nonzero,
    norm,
    not_equal,
    ones,
    ones_like,
    outer,
    percentile,
    power,
    prod,
    rad2deg,
    radians,
    ravel,
    remainder,
    repeat,
    reshape,
    rint,
    sign,
    sin,
    sinh,
    sort,
    sqrt,
    square,
    squeeze,
    stack,
    std,
    subtract,
    tan,
    tanh,
    tile,
    transpose,
    true_divide,
    trunc,
    unique,
    var,
    vdot,
    vstack,
    where,
    zeros,
    zeros_like,
)
from ._functions import all_of as all
from ._functions import any_of as any
from ._functions import largest as max
from ._functions import smallest as min
from ._functions import sum_of as sum
from ._types import dtype, floating, generic, integer, number, signedinteger, unsignedinteger

for _name, _each in _types.BY_NAME.items():
    globals()[_each.type.__name__] = _each.type
del _name, _each

abs, round, amax, amin = absolute, around, max, min
bool, double, single = bool_, float64, float32  # noqa: F821 - defined above
pi, e, inf, nan = math.pi, math.e, math.inf, math.nan
newaxis = None
__version__ = "2.1.0"


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(
        f"numpy.{name} is not in the part of numpy that this executor has; "
        "docs/contract-authors.md says what is"
    )
