"""Progress of a transfer as values, so that the CLI can draw bars and the CRI can ignore them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from knarr.oci.digest import Digest

Stage = Literal["waiting", "downloading", "uploading", "unpacking", "exists", "done"]


@dataclass(frozen=True, slots=True)
class Progress:
    """One part of an image: `done` of `size` bytes in this stage."""

    digest: Digest
    stage: Stage
    done: int
    size: int


Report = Callable[[Progress], None]


def silent(_progress: Progress) -> None:
    """The report of a caller who does not watch."""
