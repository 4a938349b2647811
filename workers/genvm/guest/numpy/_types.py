"""Types of numbers: `dtype`, the classes of single numbers, and which type a result has.

A number of Python is "weak", as in numpy 2: it takes the type of the array or number it meets.
"""

from __future__ import annotations

import math
import operator
from array import array as buffer

GenericAlias = type(list[int])

_WEAK = (bool, int, float)


class dtype:
    """A type of numbers: `np.dtype("float32")`, `np.dtype(np.float32)`."""

    name: str
    kind: str
    code: str
    itemsize: int
    type: type

    __class_getitem__ = classmethod(GenericAlias)

    def __new__(cls, spec=None):
        """Return the type that `spec` names: a name, a class of numbers, or a type of Python."""
        if cls is not dtype:
            return _INSTANCES[cls]
        found = _found(spec)
        if found is None:
            raise TypeError(f"data type {spec!r} not understood")
        return found

    def __repr__(self):
        return f"dtype({self.name!r})"

    def __str__(self):
        return self.name

    def __eq__(self, other):
        return self is _found(other)

    def __hash__(self):
        return hash(self.name)

    def __reduce__(self):
        return dtype, (self.name,)

    @property
    def str(self):
        """The type as a text of byte order, kind and size."""
        return f"{'|' if self.itemsize == 1 else '<'}{self.kind}{self.itemsize}"

    def fitted(self, value):
        """Return `value` as a number of Python that this type holds; what is too large wraps."""
        if self.kind == "f":
            value = float(value)
            return _rounded(value) if self.itemsize == 4 else value
        if self.kind == "b":
            return bool(value)
        if isinstance(value, float) and not math.isfinite(value):
            return 0
        bits = 8 * self.itemsize
        value = int(value) & ((1 << bits) - 1)
        return value - (1 << bits) if self.kind == "i" and value >> (bits - 1) else value

    def checked(self, value):
        """Return `value` as `fitted` does. Raises `OverflowError` for an int that is too large."""
        fitted = self.fitted(value)
        if self.kind in "iu" and isinstance(value, int) and fitted != value:
            raise OverflowError(f"Python integer {value} out of bounds for {self.name}")
        return fitted


def _rounded(value):
    """Return the single-precision number that is nearest."""
    return buffer("f", (value,))[0]


class generic:
    """A single number of a `dtype`."""

    __slots__ = ("_number",)
    dtype: dtype
    shape = ()
    ndim = 0
    size = 1

    def __new__(cls, value=0):
        number = object.__new__(cls)
        number._number = cls.dtype.checked(plain(value))
        return number

    def item(self):
        """Return the number as one of Python."""
        return self._number

    tolist = item

    def astype(self, to):
        """Return the number as one of another type."""
        return scalar(dtype(to), self.item())

    def tobytes(self):
        """Return the bytes of the number, little-endian."""
        return buffer(self.dtype.code, (self.item(),)).tobytes()

    def __reduce__(self):
        return type(self), (self.item(),)

    def __repr__(self):
        return f"np.{self.dtype.name}({self})"

    def __str__(self):
        return number_text(self.dtype, self.item())

    def __format__(self, spec):
        return format(self.item(), spec) if spec else str(self)

    def __hash__(self):
        return hash(self.item())

    def __bool__(self):
        return bool(self.item())

    def __int__(self):
        return int(self.item())

    def __float__(self):
        return float(self.item())

    def __round__(self, digits=None):
        result = round(self.item(), digits)
        return result if digits is None else scalar(self.dtype, result)

    def __neg__(self):
        return scalar(self.dtype, -self.item())

    def __pos__(self):
        return self

    def __abs__(self):
        return scalar(self.dtype, abs(self.item()))


class number(generic):
    """Any number but a truth value."""

    __slots__ = ()


class integer(number):
    """A whole number."""

    __slots__ = ()

    def __index__(self):
        return self._number

    def __invert__(self):
        return scalar(self.dtype, ~self._number)


class floating(number):
    """A number with a fraction."""

    __slots__ = ()


class signedinteger(integer):
    """A whole number that may be negative."""

    __slots__ = ()


class unsignedinteger(integer):
    """A whole number that is never negative."""

    __slots__ = ()


class bool_(generic):
    """A truth value."""

    __slots__ = ()

    def __index__(self):
        return int(self._number)

    def __str__(self):
        return str(self._number)

    def __repr__(self):
        return f"np.{self._number}_"


class float64(float):
    """A double-precision number, which is a `float` of Python too."""

    __slots__ = ()
    shape = ()
    ndim = 0
    size = 1

    def __new__(cls, value=0.0):
        return float.__new__(cls, plain(value))

    def item(self):
        """Return the number as one of Python."""
        return float(self)

    def __repr__(self):
        return f"np.float64({float.__repr__(self)})"

    def __str__(self):
        return number_text(self.dtype, float(self))

    def __format__(self, spec):
        return format(float(self), spec) if spec else str(self)

    def __neg__(self):
        return float64(-float(self))

    def __abs__(self):
        return float64(abs(float(self)))

    __hash__ = float.__hash__
    tolist = item
    astype = generic.astype
    tobytes = generic.tobytes
    __reduce__ = generic.__reduce__
    __round__ = generic.__round__


def plain(value):
    """Return a number of ours, or an array of one, as a number of Python."""
    return value.item() if hasattr(value, "dtype") else value


def scalar(of, value):
    """Return `value` as a number of the type `of`; what is too large wraps."""
    if of.type is float64:
        return float.__new__(float64, value)
    found = object.__new__(of.type)
    found._number = of.fitted(value)
    return found


def number_text(of, value):
    """Return a number as it is printed alone: as few digits as tell it from its neighbours."""
    if of.kind != "f":
        return str(value)
    text = digits(of, value)
    if not math.isfinite(value) or not value or 1e-4 <= abs(value) < 1e16:
        return repr(float(text))
    mantissa, _, exponent = f"{float(text):e}".partition("e")
    short = repr(float(text))
    return short if "e" in short else f"{mantissa.rstrip('0').rstrip('.')}e{exponent}"


def digits(of, value):
    """Return the shortest decimal text that is rounded to `value` by the type `of`."""
    if of.itemsize == 8 or not math.isfinite(value):
        return repr(value)
    for precision in range(1, 10):
        text = f"{value:.{precision}g}"
        if _rounded(float(text)) == value:
            break
    return text


# ------------------------------------------------------------------------------- all the types

_INSTANCES = {}
BY_NAME = {}


def _define(name, kind, code, base):
    short = name.removesuffix("_")
    title = {"u": "UInt", "i": "Int", "f": "Float", "b": "Bool"}[kind]
    cls_name = f"{title}{short.lstrip('abcdefghijklmnopqrstuvwxyz')}DType"
    cls = type(cls_name, (dtype,), {"__module__": "numpy.dtypes"})
    found = object.__new__(cls)
    found.name, found.kind, found.code = short, kind, code
    found.itemsize = buffer(code).itemsize
    found.type = base if name in ("bool_", "float64") else type(name, (base,), {"__slots__": ()})
    found.type.__module__ = "numpy"
    found.type.dtype = found
    _INSTANCES[cls] = found
    BY_NAME[short] = found


_define("bool_", "b", "B", bool_)
for _code in "bhiq":
    _define(f"int{8 * buffer(_code).itemsize}", "i", _code, signedinteger)
for _code in "BHIQ":
    _define(f"uint{8 * buffer(_code).itemsize}", "u", _code, unsignedinteger)
_define("float32", "f", "f", floating)
_define("float64", "f", "d", float64)

BOOL, INT64, FLOAT64 = BY_NAME["bool"], BY_NAME["int64"], BY_NAME["float64"]
CLASSES = {cls.__name__: cls for cls in _INSTANCES}
_BY_PYTHON_TYPE = {None: FLOAT64, float: FLOAT64, int: INT64, bool: BOOL}
_SHORT = {"f": "float32", "d": "float64", "f4": "float32", "f8": "float64", "float": "float64"}
_SHORT |= {"?": "bool", "int": "int64", "bool_": "bool", "single": "float32", "double": "float64"}
_SHORT |= {f"i{n}": f"int{8 * n}" for n in (1, 2, 4, 8)}
_SHORT |= {f"u{n}": f"uint{8 * n}" for n in (1, 2, 4, 8)}


def _found(spec):
    if isinstance(spec, dtype):
        return spec
    if isinstance(spec, str):
        spec = spec.lstrip("<|=")
        return BY_NAME.get(_SHORT.get(spec, spec))
    if getattr(spec, "__origin__", None) is dtype:  # np.dtype[np.float32]
        return _found(spec.__args__[0])
    if isinstance(spec, type):
        return _BY_PYTHON_TYPE.get(spec) or _INSTANCES.get(spec) or _of_class(spec)
    return _BY_PYTHON_TYPE.get(spec) if spec is None else None


def _of_class(cls):
    found = getattr(cls, "dtype", None)
    return found if isinstance(found, dtype) and found.type is cls else None


# ------------------------------------------------------------------------- the type of a result


def type_of(value):
    """Return the type of an array or a number, or the Python type of a weak number."""
    own = getattr(value, "dtype", None)
    if own is not None:
        return own
    return type(value) if isinstance(value, _WEAK) else None


def common(one, other):
    """Return the type that holds the numbers of both: `dtype`s, or types of weak numbers."""
    if not isinstance(one, dtype):
        one, other = other, one
    if not isinstance(one, dtype):  # Both are weak.
        one = _BY_PYTHON_TYPE[one]
    if not isinstance(other, dtype):
        return _with_weak(one, other)
    if one is other:
        return one
    if "f" in one.kind + other.kind:
        return _floating(one, other)
    if one.kind == other.kind or "b" in one.kind + other.kind:
        return max(one, other, key=lambda each: (each.kind != "b", each.itemsize))
    signed, unsigned = (one, other) if one.kind == "i" else (other, one)
    bits = 8 * max(signed.itemsize, 2 * unsigned.itemsize)
    return BY_NAME[f"int{bits}"] if bits <= 64 else FLOAT64


def _with_weak(one, python_type):
    if python_type is float and one.kind != "f":
        return FLOAT64
    if python_type is int and one.kind == "b":
        return INT64
    return one


def _floating(one, other):
    is_double = any(each.itemsize > (4 if each.kind == "f" else 2) for each in (one, other))
    return FLOAT64 if is_double else BY_NAME["float32"]


# ------------------------------------------------------------------------------------ operators


def _divided(one, other):
    try:
        return one / other
    except ZeroDivisionError:
        return math.nan if not one or one != one else math.copysign(math.inf, one) * sign_of(other)


def sign_of(value):
    """Return 1 or -1, by the sign that a zero has as well."""
    return math.copysign(1.0, value)


def _whole_or_zero(function):
    """Return `function` with the result that a division by zero has."""

    def result(one, other):
        try:
            return function(one, other)
        except ZeroDivisionError:
            return math.nan if isinstance(one, float) or isinstance(other, float) else 0

    return result


def _power(one, other):
    try:
        result = one**other
    except OverflowError:
        return math.inf
    except ZeroDivisionError:
        return math.inf
    return math.nan if isinstance(result, complex) else result


OPERATIONS = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": _divided,
    "floordiv": _whole_or_zero(operator.floordiv),
    "mod": _whole_or_zero(operator.mod),
    "pow": _power,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "lshift": operator.lshift,
    "rshift": operator.rshift,
}
COMPARISONS = {name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}


def result_type(name, one, other):
    """Return the type of the result of an operation on numbers of these types."""
    if name in COMPARISONS:
        return BOOL
    found = common(one, other)
    if name == "truediv" and found.kind != "f":
        return FLOAT64
    if found is BOOL and name in ("add", "mul", "and", "or", "xor"):
        return BOOL
    return found


def _scalar_method(name, function, is_reversed):
    def method(self, other):
        kind = type_of(other)
        if kind is None or getattr(other, "ndim", 0):
            return NotImplemented
        result = result_type(name, self.dtype, kind)
        one, two = self.item(), plain(other)
        return scalar(result, function(two, one) if is_reversed else function(one, two))

    return method


def _add_operators(cls):
    for name, function in OPERATIONS.items():
        setattr(cls, f"__{name}__", _scalar_method(name, function, False))
        setattr(cls, f"__r{name}__", _scalar_method(name, function, True))
    for name, function in COMPARISONS.items():
        setattr(cls, f"__{name}__", _scalar_method(name, function, False))


_add_operators(generic)
_add_operators(float64)
