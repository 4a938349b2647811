"""`numpy.linalg`: lengths of vectors."""

from ._functions import norm

__all__ = ("norm",)
