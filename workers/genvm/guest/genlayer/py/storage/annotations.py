"""`allow_storage`, which marks the classes whose instances may be stored."""

from .records import allow_storage

__all__ = ("allow_storage",)
