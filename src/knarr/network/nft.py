"""Runs nftables rules: by libnftables where it is (a process less), else by `nft -f -`.

One transaction for one text: all of it or nothing. Text is built by ruleset.py and proxy/, never from user input.
"""

import asyncio
import ctypes
import subprocess
import threading
from functools import cache

from knarr.base.errors import Invalid, Unavailable

_SECONDS = 30.0
_OUTPUT_HANDLE = 1 << 3
_lock = threading.Lock()


class Absent(Unavailable):
    """There is no nftables on this machine, so none of its tables either; it can be installed."""


async def run(text: str, *, with_numbers: bool = False) -> str:
    """Do what the text says; what it prints, rules with their handles if asked. Raises Invalid with nft's message."""
    return await asyncio.to_thread(run_now, text, with_numbers=with_numbers)


def check(program: str = "nft", seconds: float = _SECONDS) -> None:
    """Raises Unavailable where nft itself dies of the rules that are there, as old ones do of what newer ones wrote
    (1.0.6 of sets by 1.1): its library would take this process along, without a word."""
    try:
        ran = subprocess.run([program, "list", "tables"], capture_output=True, timeout=seconds, check=False)
    except FileNotFoundError:
        return
    except subprocess.TimeoutExpired as error:
        raise _silent(seconds) from error
    if ran.returncode < 0:
        cause = f"`nft list tables` is killed by signal {-ran.returncode} on this machine's rules"
        raise Unavailable(f"nftables: {cause}; a newer nftables (of a container?) may have written some")


def run_now(text: str, *, with_numbers: bool = False) -> str:
    """As `run`, in the calling thread. A process's first run is preceded by `check`, whoever it is: who stops or looks
    at a cluster sets no network up."""
    _check_once()
    library = _library()
    return _by_program(text, with_numbers) if library is None else _by_library(library, text, with_numbers)


def _by_library(library: ctypes.CDLL, text: str, with_numbers: bool) -> str:
    with _lock:
        context = library.nft_ctx_new(0)
        if not context:
            raise Unavailable("nftables: no context")
        try:
            library.nft_ctx_output_set_flags(context, _OUTPUT_HANDLE if with_numbers else 0)
            library.nft_ctx_buffer_output(context)
            library.nft_ctx_buffer_error(context)
            if library.nft_run_cmd_from_buffer(context, text.encode()):
                error = library.nft_ctx_get_error_buffer(context) or b""
                raise Invalid(f"nftables: {error.decode(errors='replace').strip()}")
            return (library.nft_ctx_get_output_buffer(context) or b"").decode(errors="replace")
        finally:
            library.nft_ctx_free(context)


def _by_program(text: str, with_numbers: bool) -> str:
    try:
        ran = subprocess.run(
            ["nft", *(["-a"] if with_numbers else []), "-f", "-"],
            input=text.encode(),
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise Absent("nftables is not installed; on Debian: apt-get install nftables") from error
    except subprocess.TimeoutExpired as error:
        raise _silent(_SECONDS) from error
    if ran.returncode != 0:
        raise Invalid(f"nftables: {ran.stderr.decode(errors='replace').strip()}")
    return ran.stdout.decode(errors="replace")


@cache
def _check_once() -> None:
    """A check that failed is not kept: the next run asks again."""
    check()


def _silent(seconds: float) -> Unavailable:
    return Unavailable(f"nftables: nft does not answer within {seconds:g}s")


@cache
def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libnftables.so.1")
    except OSError:
        return None
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
    for name in ("buffer_output", "buffer_error", "get_error_buffer", "get_output_buffer", "free"):
        getattr(library, f"nft_ctx_{name}").argtypes = [ctypes.c_void_p]
    library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library
