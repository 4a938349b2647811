"""The functions of the module `numpy`: making arrays, arithmetic of each number, ordering."""

from __future__ import annotations

import math

from ._array import (
    as_array,
    broadcast,
    elementwise,
    from_bytes,
    make,
    ndarray,
    reduced,
    value_or_array,
)
from ._array import dot as _dot
from ._array import matmul as _matmul
from ._types import (
    BOOL,
    FLOAT64,
    OPERATIONS,
    common,
    dtype,
    result_type,
    type_of,
)

# --------------------------------------------------------------------------------- making arrays


def array(object, dtype=None, copy=True):
    """Return a new array of a number, or of sequences of numbers that may be nested."""
    of = _type(dtype)
    found = as_array(object, of)
    return found.copy() if found is object and copy else found


def asarray(a, dtype=None):
    """Return `a` itself if it is an array of this type, else an array of its numbers."""
    return as_array(a, _type(dtype))


def _type(of):
    return None if of is None else dtype(of)


def full(shape, fill_value, dtype=None):
    """Return an array that holds one number everywhere."""
    value = as_array(fill_value, _type(dtype))
    return broadcast(value, _lengths(shape)).copy()


def zeros(shape, dtype=None):
    """Return an array of zeros."""
    return full(shape, 0, dtype or FLOAT64)


def ones(shape, dtype=None):
    """Return an array of ones."""
    return full(shape, 1, dtype or FLOAT64)


def full_like(a, fill_value, dtype=None):
    """Return an array of the shape and type of `a` that holds one number everywhere."""
    a = as_array(a)
    return full(a.shape, fill_value, dtype or a.dtype)


def zeros_like(a, dtype=None):
    """Return an array of zeros, of the shape and type of `a`."""
    return full_like(a, 0, dtype)


def ones_like(a, dtype=None):
    """Return an array of ones, of the shape and type of `a`."""
    return full_like(a, 1, dtype)


def _lengths(shape):
    return tuple(shape) if hasattr(shape, "__iter__") else (shape.__index__(),)


def arange(start, stop=None, step=1, dtype=None):
    """Return the numbers from `start` to before `stop`."""
    first, last = (0, start) if stop is None else (start, stop)
    count = max(math.ceil((last - first) / step), 0)
    of = _type(dtype) or as_array([first, last, step]).dtype
    return make([first + i * step for i in range(count)], (count,), of)


def linspace(start, stop, num=50, endpoint=True, dtype=None):
    """Return `num` numbers at equal distances from `start` to `stop`."""
    parts = num - 1 if endpoint else num
    step = (stop - start) / parts if parts else 0.0
    values = [start + i * step for i in range(num)]
    if endpoint and num > 1:
        values[-1] = stop
    return make([float(v) for v in values], (num,), _type(dtype) or FLOAT64)


def eye(n, m=None, dtype=None):
    """Return a matrix with ones in its diagonal."""
    m = n if m is None else m
    values = [float(i == j) for i in range(n) for j in range(m)]
    return make(values, (n, m), _type(dtype) or FLOAT64)


def frombuffer(buffer, dtype=None, count=-1, offset=0):
    """Return the numbers whose bytes lie in `buffer`."""
    of = _type(dtype) or FLOAT64
    content = bytes(buffer)[offset:]
    if count >= 0:
        content = content[: count * of.itemsize]
    if len(content) % of.itemsize:
        raise ValueError("buffer size must be a multiple of element size")
    return from_bytes(content, (len(content) // of.itemsize,), of)


def fromiter(iterable, dtype, count=-1):
    """Return the numbers that an iterable gives."""
    values = list(iterable)
    return as_array(values if count < 0 else values[:count], _type(dtype))


# ------------------------------------------------------------------------------------ each number


def _each(function, doc):
    """Return a function that applies `function` to each number, as a floating one."""

    def apply(x):
        array = as_array(x)
        of = array.dtype if array.dtype.kind == "f" else FLOAT64
        return value_or_array(elementwise(_in_range(function), of, array))

    apply.__doc__ = doc
    return apply


def _in_range(function):
    """Return `function` with infinities and NaN where Python raises."""

    def apply(value):
        try:
            return function(value)
        except OverflowError:
            return math.inf
        except ValueError:
            return math.nan

    return apply


def _logarithm(function):
    return lambda value: function(value) if value else -math.inf


sqrt = _each(math.sqrt, "Return the square roots.")
cbrt = _each(math.cbrt, "Return the cube roots.")
exp = _each(math.exp, "Return e to the power of the numbers.")
expm1 = _each(math.expm1, "Return e to the power of the numbers, less one.")
log = _each(_logarithm(math.log), "Return the natural logarithms.")
log2 = _each(_logarithm(math.log2), "Return the logarithms to base 2.")
log10 = _each(_logarithm(math.log10), "Return the logarithms to base 10.")
log1p = _each(math.log1p, "Return the natural logarithms of one more.")
sin = _each(math.sin, "Return the sines.")
cos = _each(math.cos, "Return the cosines.")
tan = _each(math.tan, "Return the tangents.")
arcsin = _each(math.asin, "Return the arc sines.")
arccos = _each(math.acos, "Return the arc cosines.")
arctan = _each(math.atan, "Return the arc tangents.")
sinh = _each(math.sinh, "Return the hyperbolic sines.")
cosh = _each(math.cosh, "Return the hyperbolic cosines.")
tanh = _each(math.tanh, "Return the hyperbolic tangents.")
radians = deg2rad = _each(math.radians, "Return degrees as radians.")
degrees = rad2deg = _each(math.degrees, "Return radians as degrees.")


def _same_type(function, doc):
    def apply(x):
        array = as_array(x)
        return value_or_array(elementwise(function, array.dtype, array))

    apply.__doc__ = doc
    return apply


def _if_finite(function):
    return lambda value: function(value) if math.isfinite(value) else value


floor = _same_type(_if_finite(math.floor), "Return the numbers rounded down.")
ceil = _same_type(_if_finite(math.ceil), "Return the numbers rounded up.")
trunc = _same_type(_if_finite(math.trunc), "Return the numbers without their fractions.")
rint = _same_type(_if_finite(round), "Return the nearest whole numbers, halves to even.")
absolute = fabs = _same_type(abs, "Return the absolute values.")
negative = _same_type(lambda v: -v, "Return the numbers with the other sign.")
square = _same_type(lambda v: v * v, "Return the squares.")
sign = _same_type(lambda v: (v > 0) - (v < 0) if v == v else v, "Return -1, 0 or 1 for each.")


def _test(function, doc):
    def apply(x):
        return value_or_array(elementwise(function, BOOL, as_array(x)))

    apply.__doc__ = doc
    return apply


isnan = _test(math.isnan, "Return which numbers are NaN.")
isinf = _test(math.isinf, "Return which numbers are infinite.")
isfinite = _test(math.isfinite, "Return which numbers are finite.")
logical_not = _test(lambda v: not v, "Return which numbers are zero.")


def _binary(name, function, doc):
    def apply(x1, x2):
        of = result_type(name, type_of(x1) or as_array(x1).dtype, type_of(x2) or as_array(x2).dtype)
        return value_or_array(elementwise(function, of, x1, x2))

    apply.__doc__ = doc
    return apply


add = _binary("add", OPERATIONS["add"], "Return the sums.")
subtract = _binary("sub", OPERATIONS["sub"], "Return the differences.")
multiply = _binary("mul", OPERATIONS["mul"], "Return the products.")
divide = true_divide = _binary("truediv", OPERATIONS["truediv"], "Return the quotients.")
floor_divide = _binary("floordiv", OPERATIONS["floordiv"], "Return the whole quotients.")
mod = remainder = _binary("mod", OPERATIONS["mod"], "Return the remainders.")
power = _binary("pow", OPERATIONS["pow"], "Return the powers.")
maximum = _binary("max", lambda a, b: a if a != a or a > b else b, "Return the larger ones.")
minimum = _binary("min", lambda a, b: a if a != a or a < b else b, "Return the smaller ones.")
equal = _binary("eq", lambda a, b: a == b, "Return where the numbers are equal.")
not_equal = _binary("ne", lambda a, b: a != b, "Return where the numbers differ.")
less = _binary("lt", lambda a, b: a < b, "Return where the first is smaller.")
less_equal = _binary("le", lambda a, b: a <= b, "Return where the first is not larger.")
greater = _binary("gt", lambda a, b: a > b, "Return where the first is larger.")
greater_equal = _binary("ge", lambda a, b: a >= b, "Return where the first is not smaller.")
logical_and = _binary("eq", lambda a, b: bool(a and b), "Return where both are not zero.")
logical_or = _binary("eq", lambda a, b: bool(a or b), "Return where one is not zero.")


def hypot(x1, x2):
    """Return the hypotenuses of right triangles with these legs."""
    return sqrt(as_array(x1) ** 2 + as_array(x2) ** 2)


def clip(a, a_min=None, a_max=None):
    """Return the numbers, those below `a_min` or above `a_max` replaced by these."""
    return value_or_array(as_array(a).clip(a_min, a_max))


def around(a, decimals=0):
    """Return the numbers rounded, halves to even."""
    return value_or_array(as_array(a).round(decimals))


def where(condition, *choices):
    """Return numbers of the first choice where `condition` holds, else of the second."""
    if not choices:
        return as_array(condition).nonzero()
    one, two = choices
    of = common(type_of(one) or as_array(one).dtype, type_of(two) or as_array(two).dtype)
    return elementwise(lambda c, a, b: a if c else b, of, condition, one, two)


def isclose(a, b, rtol=1e-05, atol=1e-08):
    """Return where the numbers are nearly equal."""

    def close(x, y):
        if math.isfinite(x) and math.isfinite(y):
            return math.fabs(x - y) <= atol + rtol * math.fabs(y)
        return x == y

    return value_or_array(elementwise(close, BOOL, a, b))


def allclose(a, b, rtol=1e-05, atol=1e-08):
    """Return whether all numbers are nearly equal."""
    return bool(as_array(isclose(a, b, rtol, atol)).all())


def array_equal(a1, a2):
    """Return whether shapes and numbers are equal."""
    one, two = as_array(a1), as_array(a2)
    return one.shape == two.shape and one.values() == two.values()


# ------------------------------------------------------------------------------------- reductions


def _method(name):
    def apply(a, *args, **kwargs):
        return getattr(as_array(a), name)(*args, **kwargs)

    apply.__doc__ = getattr(ndarray, name).__doc__
    apply.__name__ = name
    return apply


prod, mean, var, std = map(_method, ("prod", "mean", "var", "std"))
argmax, argmin, argsort = map(_method, ("argmax", "argmin", "argsort"))
cumsum, nonzero, repeat = map(_method, ("cumsum", "nonzero", "repeat"))
reshape, ravel, transpose, squeeze = map(_method, ("reshape", "ravel", "transpose", "squeeze"))
copy = _method("copy")

# `numpy/__init__.py` gives these the names of Python's functions, which are wanted here.
sum_of, largest, smallest, any_of, all_of = map(_method, ("sum", "max", "min", "any", "all"))


def sort(a, axis=-1):
    """Return the numbers in ascending order along an axis."""
    result = as_array(a).copy()
    result.sort(axis)
    return result


def median(a, axis=None):
    """Return the middle numbers along an axis, or of all numbers."""
    return percentile(a, 50, axis)


def percentile(a, q, axis=None):
    """Return the number below which `q` percent of the others are."""

    def at(values):
        ordered = sorted(values)
        place = (len(ordered) - 1) * q / 100
        low = math.floor(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

    array = as_array(a)
    return reduced(array, at, array.dtype if array.dtype.kind == "f" else FLOAT64, axis, False)


def average(a, axis=None, weights=None):
    """Return the mean, in which numbers count as much as `weights` say."""
    array = as_array(a)
    if weights is None:
        return array.mean(axis)
    weights = as_array(weights)
    return (array * weights).sum(axis) / weights.sum()


def count_nonzero(a):
    """Return how many numbers are not zero."""
    return len([value for value in as_array(a).values() if value])


def unique(a):
    """Return the different numbers in ascending order."""
    array = as_array(a)
    values = sorted(set(array.values()))
    return make(values, (len(values),), array.dtype)


# ------------------------------------------------------------------------------- joining, products


def concatenate(arrays, axis=0):
    """Return arrays one behind the other along an axis."""
    parts = [as_array(each) for each in arrays]
    of = parts[0].dtype
    for each in parts[1:]:
        of = common(of, each.dtype)
    if axis:
        moved = [each.transpose(axis, *_others(each, axis)) for each in parts]
        joined = concatenate(moved)
        order = list(range(1, joined.ndim))
        order.insert(axis, 0)
        return joined.transpose(*order)
    values = [value for each in parts for value in each.values()]
    rest = parts[0].shape[1:]
    if [each for each in parts if each.shape[1:] != rest]:
        raise ValueError("all the input array dimensions except for the first must match")
    lengths = [each.shape[0] for each in parts]
    return make(values, (sum(lengths), *rest), of)


def _others(array, axis):
    return [i for i in range(array.ndim) if i != axis % array.ndim]


def stack(arrays, axis=0):
    """Return arrays of one shape as rows of a new axis."""
    return concatenate([expand_dims(each, axis) for each in arrays], axis)


def vstack(arrays):
    """Return vectors or matrices below each other."""
    return concatenate([_as_rows(each) for each in arrays])


def hstack(arrays):
    """Return vectors or matrices beside each other."""
    parts = [as_array(each) for each in arrays]
    return concatenate(parts, 0 if parts[0].ndim == 1 else 1)


def _as_rows(a):
    array = as_array(a)
    return array if array.ndim > 1 else array.reshape(1, -1)


def expand_dims(a, axis):
    """Return an array with a new axis of length 1."""
    array = as_array(a)
    shape = list(array.shape)
    shape.insert(axis if axis >= 0 else axis + array.ndim + 1, 1)
    return array.reshape(*shape)


def tile(a, times):
    """Return a vector several times."""
    return concatenate([as_array(a)] * times)


def broadcast_to(a, shape):
    """Return an array repeated to a shape."""
    return broadcast(as_array(a), _lengths(shape))


def inner(a, b):
    """Return the product of two vectors."""
    return _matmul(as_array(a), as_array(b).T)


def vdot(a, b):
    """Return the product of all numbers as vectors."""
    return _matmul(as_array(a).ravel(), as_array(b).ravel())


def outer(a, b):
    """Return the products of each number of one with each of the other."""
    return as_array(a).ravel().reshape(-1, 1) * as_array(b).ravel()


def dot(a, b):
    """Return the product of numbers, vectors or matrices."""
    return _dot(as_array(a), as_array(b))


def matmul(a, b):
    """Return the product of vectors or matrices."""
    return _matmul(as_array(a), as_array(b))


def norm(x, ord=None, axis=None, keepdims=False):
    """Return the length of vectors: Euclidean, or that of order `ord`."""
    array = as_array(x)
    sizes = elementwise(math.fabs, array.dtype if array.dtype.kind == "f" else FLOAT64, array)
    if ord in (None, 2, "fro"):
        squares = make([v * v for v in sizes.values()], sizes.shape, FLOAT64)
        result = sqrt(squares.sum(axis, keepdims=keepdims))
    elif ord == math.inf:
        result = sizes.max(axis, keepdims)
    elif ord == 1:
        result = sizes.sum(axis, keepdims=keepdims)
    else:
        raise ValueError("norm: ord is None, 1, 2 or inf here")
    return value_or_array(as_array(result, sizes.dtype))
