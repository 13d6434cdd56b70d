"""Checks of paths inside volumes. Texts are upstream's."""

from collections.abc import Iterator

from knarr.base.errors import Cause
from knarr.objects import faults


def no_backsteps(path: str, field: str) -> Iterator[Cause]:
    if ".." in path and ".." in path.split("/"):
        yield faults.invalid(field, path, "must not contain '..'")


def relative(path: str, field: str) -> Iterator[Cause]:
    """A path that stays below where it begins."""
    if path.startswith("/"):
        yield faults.invalid(field, path, "must be a relative path")
    yield from no_backsteps(path, field)


def local(path: str, field: str) -> Iterator[Cause]:
    """A relative path that names nothing the kubelet keeps for itself (it begins with `..`)."""
    yield from relative(path, field)
    if path.startswith("..") and not path.startswith("../"):
        yield faults.invalid(field, path, "must not start with '..'")
