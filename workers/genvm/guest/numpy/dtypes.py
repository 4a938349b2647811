"""`numpy.dtypes`: the class of each type, for annotations."""

from ._types import CLASSES

globals().update(CLASSES)
