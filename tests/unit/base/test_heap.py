"""Large blocks come from the kernel each time; free pages go back to it when that is asked for."""

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys
from knarr.base import heap
libc = ctypes.CDLL(None)
if not hasattr(libc, "mallinfo2"):
    sys.exit(3)
names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
Figures = type("Figures", (ctypes.Structure,), {"_fields_": [(name, ctypes.c_size_t) for name in names.split()]})
libc.mallinfo2.restype = Figures
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = (ctypes.c_void_p,)
libc.malloc.argtypes = (ctypes.c_size_t,)
if sys.argv[1] == "set":
    heap.give_large_blocks_back()
libc.free(libc.malloc(256 * 1024))  # from which the library would learn to keep them
before = libc.mallinfo2().hblkhd
libc.malloc(256 * 1024)
print(libc.mallinfo2().hblkhd - before >= 256 * 1024)
"""


@pytest.mark.parametrize(("how", "is_mapped"), [("set", "True"), ("as it is", "False")])
def test_a_large_block_is_mapped_for_itself(how: str, is_mapped: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip("not glibc")
    assert (done.stdout.strip(), done.stderr) == (is_mapped, "")


HOLES = """
import ctypes, sys
from knarr.base import heap
libc = ctypes.CDLL(None)
if not hasattr(libc, "malloc_trim"):
    sys.exit(3)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = (ctypes.c_void_p,)
libc.malloc.argtypes = (ctypes.c_size_t,)
libc.memset.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

SIZE = 64 * 1024
blocks = []
for _ in range(512):
    block = libc.malloc(SIZE)
    libc.memset(block, 1, SIZE)
    blocks.append(block)
used = resident()
for block in blocks[::2]:  # between used ones: nothing is free at the heap's end
    libc.free(block)
kept = resident()
heap.trim()
print(used - kept < 1024 * 1024, used - resident() > 12 * 1024 * 1024)
"""


def test_free_pages_between_used_blocks_go_back_when_trimmed() -> None:
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip("not glibc")
    assert (done.stdout.strip(), done.stderr) == ("True True", "")
