"""Inputs that are nearly right: seeds with bytes changed, pieces cut, doubled or swapped, and words put in."""

import random
from collections.abc import Iterator, Sequence

BYTES_MAX = 1 << 16
INTERESTING = (
    b"\0", b"\xff", b"\x7f", b"\x80", b"\n", b"\r\n", b" ", b"%", b"\\", b'"', b"'", b"{", b"[", b"-1", b"0", b"..",
    b"/", b"99999999999999999999", b"\xed\xa0\x80", b"\xc3\xa9", b"\xd9\xa0", b"\xf0\x9f\x98\x80",
)  # fmt: skip


def inputs(seeds: Sequence[bytes], words: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """The seeds, each of their beginnings, then mutations without end."""
    yield b""
    yield from seeds
    for each in seeds:
        for end in range(1, min(len(each), 200)):
            yield each[:end]
    chance = random.Random(seed)
    while True:
        content = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 2, 3, 8))):
            _mutate(content, seeds, words, chance)
        yield bytes(content[:BYTES_MAX])


def _mutate(content: bytearray, seeds: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> None:
    start = chance.randrange(len(content) + 1)
    end = min(len(content), start + chance.choice((0, 1, 1, 2, 4, 16, 64)))
    match chance.randrange(8):
        case 0:
            content[start:end] = chance.randbytes(end - start)
        case 1:
            del content[start:end]
        case 2:
            content[start:start] = content[start:end] * chance.choice((1, 2, 10, 300))
        case 3:
            other = chance.choice(seeds)
            begin = chance.randrange(len(other) + 1)
            content[start:end] = other[begin : begin + 32]
        case 4 | 5:
            content[start:end] = chance.choice(words or INTERESTING)
        case 6:
            content[start:end] = chance.choice(INTERESTING)
        case _:
            if start < len(content):
                content[start] ^= 1 << chance.randrange(8)
    del content[BYTES_MAX:]
