"""What a fuzz target is: a decoder, inputs it takes, and the only exceptions with which it may refuse others."""

from collections.abc import Callable
from dataclasses import dataclass

from knarr.base.errors import KnarrError


@dataclass(frozen=True)
class Target:
    """`run` takes bytes as they come from outside; `words` are put into seeds besides the usual ones."""

    name: str
    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()
    refuses: tuple[type[Exception], ...] = (KnarrError,)


def text(decoder: Callable[[str], object]) -> Callable[[bytes], object]:
    """A decoder of text, given what UTF-8 makes of the bytes."""
    return lambda content: decoder(content.decode("utf-8", "replace"))


def field(decoder: Callable[[str], object]) -> Callable[[bytes], object]:
    """A decoder of a header field or a path, whose bytes are characters."""
    return lambda content: decoder(content.decode("latin-1"))
