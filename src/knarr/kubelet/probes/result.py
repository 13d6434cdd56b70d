"""The outcome of one probe attempt, whatever its kind."""

from dataclasses import dataclass

OUTPUT_MAX = 10 * 1024
"""Bytes of a probe's output that are read (upstream's cap)."""


@dataclass(frozen=True, slots=True)
class Result:
    """`is_error`: the attempt itself could not be made (upstream: "errored"); it counts as neither."""

    is_success: bool
    output: str = ""
    is_error: bool = False
    warning: str = ""
