"""The C library's heap: large blocks come from the kernel and go back to it.

uvloop gives each TLS connection a block of 256 KiB and touches a few pages of it. The C library learns from the first
one freed to keep blocks of that size in its heap, where the next connections touch other pages of them: a hundred
streams that come and go for an hour took 40 MB more. What is free between used blocks stays with the process for
good unless it is asked for: an hour of streams left 20 MB so. Not here: Python's own small objects.
"""

import asyncio
import ctypes
from typing import Final

LARGE_BYTES: Final = 192 * 1024
KEPT_BYTES: Final = 2 * 1024 * 1024
"""Free memory at the heap's end that is kept for the next one who needs it."""
TRIMMED_EACH_SECONDS: Final = 60.0
"""One trim takes about 2 ms of a busy process' heap."""
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def give_large_blocks_back() -> None:
    """For this process, from now on. A C library that has no such settings (musl) does so by itself."""
    setting = getattr(ctypes.CDLL(None), "mallopt", None)
    if setting is not None:
        setting(_M_MMAP_THRESHOLD, LARGE_BYTES)
        setting(_M_TRIM_THRESHOLD, KEPT_BYTES)


def trim() -> None:
    """Give the pages back that hold nothing used, wherever they are; more than KEPT_BYTES at the heap's end too."""
    trimming = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trimming is not None:
        trimming(ctypes.c_size_t(KEPT_BYTES))


async def trim_forever() -> None:
    """Each minute."""
    while True:
        await asyncio.sleep(TRIMMED_EACH_SECONDS)
        trim()
