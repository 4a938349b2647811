"""Images that come with a prompt (docs/spec/05-modules.md#llm-requests)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import NamedTuple

from genvm_manager.protocol.llm_check import MAX_IMAGES
from genvm_manager.protocol.module_frames import UserFault

MAX_IMAGE = 5 << 20
"""Bytes of one image."""

_MAGIC = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


class Image(NamedTuple):
    """A PNG or JPEG; `media_type` is `image/png` or `image/jpeg`."""

    media_type: str
    content: bytes

    @property
    def base64(self) -> str:
        """The content in base64, as providers expect it."""
        return base64.b64encode(self.content).decode("ascii")


def read_images(contents: Sequence[bytes]) -> tuple[Image, ...]:
    """Return the images; their type is detected by their first bytes.

    Raises `UserFault` `TOO_MANY_IMAGES`, `IMAGE_TOO_LARGE` or `INVALID_IMAGE`.
    """
    if len(contents) > MAX_IMAGES:
        raise UserFault(["TOO_MANY_IMAGES"], {"images": len(contents), "max": MAX_IMAGES})
    return tuple(_read(content, index) for index, content in enumerate(contents))


def _read(content: bytes, index: int) -> Image:
    if len(content) > MAX_IMAGE:
        context = {"image": index, "size": len(content), "max": MAX_IMAGE}
        raise UserFault(["IMAGE_TOO_LARGE"], context)
    for magic, media_type in _MAGIC.items():
        if content.startswith(magic):
            return Image(media_type, content)
    raise UserFault(["INVALID_IMAGE"], {"image": index, "expected": "PNG or JPEG"})
