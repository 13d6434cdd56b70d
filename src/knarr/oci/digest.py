"""Digests: `algorithm:hex` of content (OCI image specification, descriptor.md)."""

import hashlib
import re
from typing import NewType

from knarr.base.errors import Invalid

Digest = NewType("Digest", str)

_LENGTHS = {"sha256": 64, "sha512": 128}
_FORM = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-f]+")


def parse(text: str) -> Digest:
    """The digest that `text` is; Invalid for anything but lower-case sha256 or sha512 of the right length."""
    algorithm, _, encoded = text.partition(":")
    if not _FORM.fullmatch(text) or _LENGTHS.get(algorithm) != len(encoded):
        raise Invalid(f"digest: {text[:160]!r} is not sha256:… or sha512:… in lower-case hexadecimal")
    return Digest(text)


def of(content: bytes) -> Digest:
    """The sha256 digest of the bytes."""
    return Digest("sha256:" + hashlib.sha256(content).hexdigest())
