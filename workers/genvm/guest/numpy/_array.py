"""`ndarray`: numbers of one type in rows and columns, some of them views of others.

All numbers of an array lie in one buffer: the first at `_start`, the next one along each axis a
step of `_steps` further. A view shares the buffer.
"""

from __future__ import annotations

import math
import operator
from array import array as buffer
from itertools import product

from ._text import array_repr, array_str
from ._types import (
    BOOL,
    COMPARISONS,
    FLOAT64,
    INT64,
    OPERATIONS,
    GenericAlias,
    common,
    dtype,
    plain,
    result_type,
    scalar,
    type_of,
)


class ndarray:
    """An array of numbers."""

    __slots__ = ("_data", "_start", "_steps", "dtype", "shape")
    __class_getitem__ = classmethod(GenericAlias)
    __hash__ = None

    def __new__(cls, shape, dtype=None):  # noqa: ARG004
        """Return an array of this shape, filled with zeros."""
        raise TypeError("make arrays by np.array, np.zeros and the like")

    # ------------------------------------------------------------------------- shape and views

    @property
    def ndim(self):
        """How many axes there are."""
        return len(self.shape)

    @property
    def size(self):
        """How many numbers there are."""
        return math.prod(self.shape)

    @property
    def itemsize(self):
        """How many bytes a number takes."""
        return self.dtype.itemsize

    @property
    def nbytes(self):
        """How many bytes all numbers take."""
        return self.size * self.dtype.itemsize

    @property
    def T(self):  # noqa: N802
        """The array with its axes in the other order, a view."""
        return self.transpose()

    @property
    def flat(self):
        """The numbers in order."""
        return iter(self.ravel())

    def transpose(self, *axes):
        """Return a view with the axes in another order, by default the reverse one."""
        order = _shape_of(axes) if axes and axes != (None,) else range(self.ndim)[::-1]
        order = [_axis(self, axis) for axis in order]
        if sorted(order) != list(range(self.ndim)):
            raise ValueError("axes don't match array")
        return view(self, tuple(self.shape[i] for i in order), tuple(self._steps[i] for i in order))

    def reshape(self, *shape, order="C"):  # noqa: ARG002
        """Return the numbers in another shape; one of its lengths may be -1."""
        wanted = list(_shape_of(shape))
        known = math.prod(length for length in wanted if length != -1)
        if -1 in wanted:
            wanted[wanted.index(-1)] = self.size // known if known else 0
        if math.prod(wanted) != self.size:
            raise ValueError(
                f"cannot reshape array of size {self.size} into shape {_shape_of(shape)}"
            )
        whole = self if self._is_contiguous() else self.copy()
        return view(whole, tuple(wanted), _steps(wanted))

    def ravel(self):
        """Return the numbers in one row, as a view where that is possible."""
        return self.reshape(-1)

    def flatten(self):
        """Return a copy of the numbers in one row."""
        return self.copy().ravel()

    def squeeze(self, axis=None):
        """Return a view without the axes of length 1."""
        dropped = range(self.ndim) if axis is None else [_axis(self, axis)]
        kept = [i for i in range(self.ndim) if i not in dropped or self.shape[i] != 1]
        return view(self, tuple(self.shape[i] for i in kept), tuple(self._steps[i] for i in kept))

    def _is_contiguous(self):
        return self._steps == _steps(self.shape)

    def places(self):
        """Return the places of all numbers in the buffer, in order."""
        if self._is_contiguous():
            return range(self._start, self._start + self.size)
        ranges = [
            range(0, length * step, step) if step else [0] * length
            for length, step in zip(self.shape, self._steps, strict=True)
        ]
        return [self._start + sum(parts) for parts in product(*ranges)]

    def values(self):
        """Return all numbers in order, as numbers of Python."""
        if self._is_contiguous():
            found = self._data[self._start : self._start + self.size].tolist()
        else:
            data = self._data
            found = [data[place] for place in self.places()]
        return [bool(value) for value in found] if self.dtype is BOOL else found

    # --------------------------------------------------------------------------- to other forms

    def item(self, *index):
        """Return one number as a number of Python, the only one by default."""
        if index:
            return self.values()[index[0]] if len(index) == 1 else plain(self[index])
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self.values()[0]

    def tolist(self):
        """Return the numbers as lists of numbers of Python, or one number."""
        if not self.ndim:
            return self.item()
        return self.values() if self.ndim == 1 else [row.tolist() for row in self]

    def tobytes(self):
        """Return the bytes of all numbers in order."""
        return make(self.values(), self.shape, self.dtype)._data.tobytes()

    def astype(self, to, copy=True):  # noqa: ARG002
        """Return the numbers as those of another type."""
        return make(self.values(), self.shape, dtype(to))

    def copy(self):
        """Return an array of its own with the same numbers."""
        return make(self.values(), self.shape, self.dtype)

    def fill(self, value):
        """Put one number everywhere."""
        self[...] = value

    def __array__(self, *_, **__):
        return self

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, _):
        return self.copy()

    def __reduce__(self):
        return from_bytes, (self.tobytes(), self.shape, self.dtype)

    __repr__ = array_repr
    __str__ = array_str

    def __format__(self, spec):
        return format(self.item(), spec) if spec else str(self)

    def __len__(self):
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self):
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self.shape[0]))

    def __contains__(self, value):
        return bool((self == value).any())

    def __bool__(self):
        if self.size != 1:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. "
                "Use a.any() or a.all()"
            )
        return bool(self.item())

    def __int__(self):
        return int(self.item())

    def __float__(self):
        return float(self.item())

    def __index__(self):
        if self.ndim or self.dtype.kind not in "iu":
            raise TypeError("only integer scalar arrays can be converted to a scalar index")
        return self.item()

    # ---------------------------------------------------------------------------------- indexing

    def __getitem__(self, index):
        chosen = _chosen(self, index)
        if isinstance(chosen, ndarray):
            if index is ... or not _is_number(index, self.ndim) or chosen.ndim:
                return chosen
            return scalar(self.dtype, self._data[chosen._start])
        places, shape = chosen
        return make([self._data[place] for place in places], shape, self.dtype)

    def __setitem__(self, index, value):
        chosen = _chosen(self, index)
        places, shape = (chosen.places(), chosen.shape) if isinstance(chosen, ndarray) else chosen
        fitted = dtype.checked if type_of(value) in (int, bool) else dtype.fitted
        new = broadcast(as_array(value), shape).values()
        for place, number in zip(places, new, strict=True):
            self._data[place] = fitted(self.dtype, number)

    # --------------------------------------------------------------------------------- operators

    def __neg__(self):
        return self._mapped(lambda value: -value)

    def __pos__(self):
        return self.copy()

    def __abs__(self):
        return self._mapped(abs)

    def __invert__(self):
        return self._mapped(
            (lambda value: not value) if self.dtype is BOOL else lambda value: ~value
        )

    def __matmul__(self, other):
        return matmul(self, as_array(other))

    def __rmatmul__(self, other):
        return matmul(as_array(other), self)

    def _mapped(self, function, to=None):
        return make([function(value) for value in self.values()], self.shape, to or self.dtype)

    def dot(self, other):
        """Return the product of vectors or matrices."""
        return dot(self, as_array(other))

    # -------------------------------------------------------------------------------- reductions

    def sum(self, axis=None, dtype=None, keepdims=False):
        """Return the sum along an axis, or of all numbers."""
        of = _sum_type(self, dtype)
        return reduced(self, total if of.kind == "f" else sum, of, axis, keepdims)

    def prod(self, axis=None, dtype=None, keepdims=False):
        """Return the product along an axis, or of all numbers."""
        return reduced(self, math.prod, _sum_type(self, dtype), axis, keepdims)

    def mean(self, axis=None, dtype=None, keepdims=False):
        """Return the mean along an axis, or of all numbers."""
        return reduced(self, _mean, _mean_type(self, dtype), axis, keepdims)

    def var(self, axis=None, dtype=None, ddof=0, keepdims=False):
        """Return the variance along an axis, or of all numbers."""

        def variance(values):
            mean, freedom = _mean(values), len(values) - ddof
            squares = total((value - mean) ** 2 for value in values)
            return squares / freedom if freedom > 0 else math.nan

        return reduced(self, variance, _mean_type(self, dtype), axis, keepdims)

    def std(self, axis=None, dtype=None, ddof=0, keepdims=False):
        """Return the standard deviation along an axis, or of all numbers."""
        result = as_array(self.var(axis, dtype, ddof, keepdims))._mapped(math.sqrt)
        return result if result.ndim else result[()]

    def max(self, axis=None, keepdims=False):
        """Return the largest number along an axis, or of all."""
        return reduced(self, _largest, self.dtype, axis, keepdims)

    def min(self, axis=None, keepdims=False):
        """Return the smallest number along an axis, or of all."""
        return reduced(self, _smallest, self.dtype, axis, keepdims)

    def argmax(self, axis=None):
        """Return where the largest number is."""
        return reduced(self, lambda v: v.index(_largest(v)), INT64, axis, False)

    def argmin(self, axis=None):
        """Return where the smallest number is."""
        return reduced(self, lambda v: v.index(_smallest(v)), INT64, axis, False)

    def any(self, axis=None, keepdims=False):
        """Return whether one number is not zero."""
        return reduced(self, any, BOOL, axis, keepdims)

    def all(self, axis=None, keepdims=False):
        """Return whether no number is zero."""
        return reduced(self, all, BOOL, axis, keepdims)

    def cumsum(self, axis=None):
        """Return the sums of all numbers up to each one."""
        of = _sum_type(self, None)

        def sums(values):
            last, found = 0, []
            for value in values:
                last = of.fitted(last + value)
                found.append(last)
            return found

        return along(self, sums, of, axis)

    def argsort(self, axis=-1, kind=None):  # noqa: ARG002
        """Return the places of the numbers in ascending order; equal ones keep theirs."""
        return along(
            self, lambda v: sorted(range(len(v)), key=lambda i: _sort_key(v[i])), INT64, axis
        )

    def sort(self, axis=-1):
        """Sort the numbers in place."""
        self[...] = along(self, lambda v: sorted(v, key=_sort_key), self.dtype, axis)

    def clip(self, low=None, high=None):
        """Return the numbers, those below `low` or above `high` replaced by these."""
        result = self
        if low is not None:
            result = elementwise(max, common(result.dtype, type_of(low)), result, low)
        if high is not None:
            result = elementwise(min, common(result.dtype, type_of(high)), result, high)
        return result if result is not self else self.copy()

    def round(self, decimals=0):
        """Return the numbers rounded, halves to even."""
        return self._mapped(lambda v: round(v, decimals) if math.isfinite(v) else v)

    def repeat(self, times):
        """Return each number `times` times."""
        return as_array([v for v in self.values() for _ in range(times)], self.dtype)

    def nonzero(self):
        """Return the places of the numbers that are not zero, an array for each axis."""
        found = [
            index
            for index, value in zip(product(*map(range, self.shape)), self.values(), strict=True)
            if value
        ]
        return tuple(as_array([each[axis] for each in found], INT64) for axis in range(self.ndim))


# ------------------------------------------------------------------------------------- building


def _new(data, start, shape, steps, of):
    made = object.__new__(ndarray)
    made._data, made._start, made._steps, made.shape, made.dtype = data, start, steps, shape, of
    return made


def make(values, shape, of):
    """Return an array of `values`, numbers of Python in order; what is too large wraps."""
    if of.kind != "f":
        values = map(of.fitted, values)
    try:
        data = buffer(of.code, values)
    except OverflowError:  # A number that single precision does not hold.
        data = buffer(of.code, map(of.fitted, values))
    return _new(data, 0, tuple(shape), _steps(shape), of)


def from_bytes(content, shape, of):
    """Return an array of the numbers whose bytes these are."""
    data = buffer(of.code)
    data.frombytes(content)
    return _new(data, 0, tuple(shape), _steps(shape), of)


def view(array, shape, steps, start=None):
    """Return a view of the same buffer."""
    return _new(array._data, array._start if start is None else start, shape, steps, array.dtype)


def as_array(value, of=None):
    """Return `value` as an array: itself if it is one, else of numbers or nested sequences."""
    if isinstance(value, ndarray):
        return value if of is None or value.dtype is of else value.astype(of)
    kind = type_of(value)
    if kind is not None:
        found = of or common(kind, kind)
        return make([dtype.checked(found, plain(value))], (), found)
    if isinstance(value, (bytes, str)) or not hasattr(value, "__iter__"):
        raise TypeError(f"an array holds numbers, got {type(value).__name__}")
    return _of_parts(list(value), of)


def _of_parts(parts, of):
    """Return an array of numbers or of arrays of one shape."""
    kinds = {type_of(part) for part in parts}
    if None in kinds or any(getattr(part, "ndim", 0) for part in parts):
        rows = [as_array(part, of) for part in parts]
        if len({row.shape for row in rows}) > 1:
            raise ValueError("setting an array element with a sequence: the rows differ in length")
        found = of or _common_of({row.dtype for row in rows})
        values = [value for row in rows for value in row.values()]
        return make(values, (len(rows), *rows[0].shape), found)
    found = of or _common_of(kinds)
    values = [plain(part) for part in parts]
    if found.kind in "iu":
        values = [dtype.checked(found, value) for value in values]
    return make(values, (len(parts),), found)


def _common_of(kinds):
    if not kinds:
        return FLOAT64
    kinds = list(kinds)
    found = common(kinds[0], kinds[0])
    for kind in kinds[1:]:
        found = common(found, common(kind, kind))
    return found


def _shape_of(parts):
    if len(parts) == 1 and hasattr(parts[0], "__iter__"):
        parts = parts[0]
    return tuple(int(part) for part in parts)


def _steps(shape):
    steps, step = [], 1
    for length in reversed(shape):
        steps.append(step)
        step *= length
    return tuple(reversed(steps))


def _axis(array, axis):
    if not -array.ndim <= axis < array.ndim:
        raise ValueError(f"axis {axis} is out of bounds for array of dimension {array.ndim}")
    return axis % array.ndim


# ------------------------------------------------------------------------------------- indexing


def _is_number(index, ndim):
    parts = index if isinstance(index, tuple) else (index,)
    return len(parts) == ndim and not any(
        part is None or part is ... or isinstance(part, slice) for part in parts
    )


def _chosen(array, index):
    """Return what an index names: a view, or the places of a copy and its shape."""
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(part, list) or getattr(part, "ndim", 0) for part in parts):
        return _by_arrays(array, [_index_array(part) for part in parts])
    if any(getattr(part, "dtype", None) is BOOL or isinstance(part, bool) for part in parts):
        raise IndexError("an array is not indexed by a single truth value here")
    named = sum(part is not None and part is not ... for part in parts)
    if named > array.ndim:
        raise IndexError(f"too many indices for array: array is {array.ndim}-dimensional")
    start, shape, steps, axis = array._start, [], [], 0
    for part in _with_rest(parts, array.ndim - named):
        if part is None:
            shape.append(1)
            steps.append(0)
            continue
        length, step = array.shape[axis], array._steps[axis]
        axis += 1
        if isinstance(part, slice):
            first, stop, stride = part.indices(length)
            start += first * step
            shape.append(len(range(first, stop, stride)))
            steps.append(step * stride)
        else:
            start += _within(part, length, axis - 1) * step
    return view(array, tuple(shape), tuple(steps), start)


def _with_rest(parts, missing):
    """Yield the parts of an index; slices stand for `...`, or for what is missing at its end."""
    rest = [slice(None)] * missing
    for part in parts:
        if part is ...:
            yield from rest
            rest = []
        else:
            yield part
    yield from rest


def _within(index, length, axis):
    index = index.__index__()
    if not -length <= index < length:
        raise IndexError(f"index {index} is out of bounds for axis {axis} with size {length}")
    return index % length


def _index_array(part):
    return as_array(part) if isinstance(part, list) and part else part


def _by_arrays(array, parts):
    if len(parts) == 1 and getattr(parts[0], "dtype", None) is BOOL:
        mask = parts[0]
        if mask.shape != array.shape[: mask.ndim]:
            raise IndexError("boolean index did not match indexed array")
        parts = list(mask.nonzero())
    arrays = [as_array(part, INT64) for part in parts if not isinstance(part, slice)]
    if len(arrays) != len(parts) or len(arrays) > array.ndim:
        raise IndexError("an index has arrays of numbers for the first axes here, or a mask")
    shape = broadcast_shape(*(each.shape for each in arrays))
    rows = [broadcast(each, shape).values() for each in arrays]
    rest = view(array, array.shape[len(arrays) :], array._steps[len(arrays) :], 0)
    inner = rest.places()
    places = []
    for index in zip(*rows, strict=True):
        at = array._start
        for axis, one in enumerate(index):
            at += _within(one, array.shape[axis], axis) * array._steps[axis]
        places += [at + place for place in inner]
    return places, (*shape, *rest.shape)


# ---------------------------------------------------------------------------------- computation


def broadcast_shape(*shapes):
    """Return the shape that arrays of these shapes have together. Raises `ValueError`."""
    length = max(map(len, shapes))
    padded = [(1,) * (length - len(shape)) + tuple(shape) for shape in shapes]
    result = []
    for lengths in zip(*padded, strict=True):
        found = {each for each in lengths if each != 1}
        if len(found) > 1:
            texts = " ".join(str(shape).replace(" ", "") for shape in shapes)
            raise ValueError(f"operands could not be broadcast together with shapes {texts}")
        result.append(found.pop() if found else 1)
    return tuple(result)


def broadcast(array, shape):
    """Return a view of an array in a shape that repeats it."""
    missing = len(shape) - array.ndim
    pairs = zip(array.shape, shape[max(missing, 0) :], strict=False)
    if missing < 0 or any(mine not in (1, wanted) for mine, wanted in pairs):
        raise ValueError(
            f"could not broadcast input array from shape {array.shape} into shape {shape}"
        )
    steps = [0] * missing + [
        step if length != 1 else 0 for length, step in zip(array.shape, array._steps, strict=True)
    ]
    return view(array, tuple(shape), tuple(steps))


def elementwise(function, of, *operands):
    """Return the results of `function` for the numbers of arrays or single numbers."""
    arrays = [as_array(each) for each in operands]
    shape = broadcast_shape(*(each.shape for each in arrays))
    columns = [
        each.values() if each.shape == shape else broadcast(each, shape).values() for each in arrays
    ]
    return make(map(function, *columns), shape, of)


def value_or_array(array):
    """Return an array without axes as the number that it holds."""
    return array if array.ndim else scalar(array.dtype, array._data[array._start])


def _operator(name, function, is_reversed):
    def method(self, other):
        kind = type_of(other)
        if kind is None:
            if isinstance(other, (str, bytes)) or not hasattr(other, "__iter__"):
                return NotImplemented
            other = as_array(other)
            kind = other.dtype
        of = result_type(name, self.dtype, kind)
        one, two = (other, self) if is_reversed else (self, other)
        return value_or_array(elementwise(function, of, one, two))

    return method


def _in_place(name, function):
    def method(self, other):
        self[...] = elementwise(function, self.dtype, self, other)
        return self

    method.__name__ = f"__i{name}__"
    return method


for _name, _function in OPERATIONS.items():
    setattr(ndarray, f"__{_name}__", _operator(_name, _function, False))
    setattr(ndarray, f"__r{_name}__", _operator(_name, _function, True))
    setattr(ndarray, f"__i{_name}__", _in_place(_name, _function))
for _name, _function in COMPARISONS.items():
    setattr(ndarray, f"__{_name}__", _operator(_name, _function, False))


def reduced(array, function, of, axis, keepdims):
    """Return what `function` makes of the numbers along an axis, of all where it is None."""
    if axis is None:
        if not array.size and function in (_largest, _smallest):
            raise ValueError("zero-size array to reduction operation which has no identity")
        result = function(array.values())
        return make([result], (1,) * array.ndim, of) if keepdims else scalar(of, result)
    axes = sorted(_axis(array, each) for each in (axis if isinstance(axis, tuple) else (axis,)))
    kept = [i for i in range(array.ndim) if i not in axes]
    moved = array.transpose(*kept, *axes)
    length = math.prod(array.shape[i] for i in axes)
    values = moved.values()
    results = [function(values[i : i + length]) for i in range(0, len(values), max(length, 1))]
    shape = [1 if i in axes else n for i, n in enumerate(array.shape)]
    result = make(results, shape if keepdims else [array.shape[i] for i in kept], of)
    return value_or_array(result)


def along(array, function, of, axis):
    """Return what `function` makes of each row along an axis, of all numbers where it is None."""
    if axis is None:
        array, axis = array.ravel(), 0
    axis = _axis(array, axis)
    order = [*(i for i in range(array.ndim) if i != axis), axis]
    moved = array.transpose(*order)
    values, length = moved.values(), array.shape[axis]
    rows = [function(values[i : i + length]) for i in range(0, len(values), max(length, 1))]
    result = make([value for row in rows for value in row], moved.shape, of)
    return result.transpose(*[order.index(i) for i in range(array.ndim)])


def _sum_type(array, given):
    if given is not None:
        return dtype(given)
    if array.dtype.kind == "f":
        return array.dtype
    return common(array.dtype, INT64) if array.dtype.kind != "u" else dtype("uint64")


def _mean_type(array, given):
    if given is not None:
        return dtype(given)
    return array.dtype if array.dtype.kind == "f" else FLOAT64


def _mean(values):
    return total(values) / len(values) if values else math.nan


def _sort_key(value):
    return (value != value, value)


def _largest(values):
    return next((value for value in values if value != value), None) or max(values)


def _smallest(values):
    return next((value for value in values if value != value), None) or min(values)


def total(values):
    """Return the sum of floats, rounded once."""
    values = list(values)
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # Infinities of both signs, or a sum that is too large.
        return sum(values)


def _product_of(one, other):
    return total(map(float.__mul__, one, other))


def dot(one, other):
    """Return the product of two arrays, each of them a number, a vector or a matrix."""
    if not one.ndim or not other.ndim:
        return one * other
    return matmul(one, other)


def matmul(one, other):
    """Return the product of two vectors or matrices."""
    if not one.ndim or not other.ndim or one.ndim > 2 or other.ndim > 2:
        raise ValueError("matmul takes vectors and matrices here")
    inner = other.shape[0]
    if one.shape[-1] != inner:
        raise ValueError(
            f"shapes {one.shape} and {other.shape} not aligned: {one.shape[-1]} != {inner}"
        )
    of = common(one.dtype, other.dtype)
    rows = [row.values() for row in one] if one.ndim == 2 else [one.values()]
    columns = [row.values() for row in other.T] if other.ndim == 2 else [other.values()]
    combine = _product_of if one.dtype.kind == other.dtype.kind == "f" else math.sumprod
    values = [combine(row, column) for row in rows for column in columns]
    return value_or_array(make(values, one.shape[:-1] + other.shape[1:], of))
