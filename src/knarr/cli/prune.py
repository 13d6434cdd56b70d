"""`knarr prune`: remove build results long unused, and blobs and snapshots that no image needs."""

import argparse
import re
from typing import Any

from knarr.base.errors import Invalid
from knarr.cli import node_client, printing

_DURATION = re.compile(r"([0-9]+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kmgt]?)i?b?", re.I)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def configure(parser: argparse.ArgumentParser) -> None:
    node_client.configure(parser)
    parser.add_argument("-a", "--all", action="store_true", help="remove the whole build cache too, however young")
    parser.add_argument(
        "--filter", action="append", default=[], metavar="until=24h", help="only build results unused for that long"
    )
    parser.add_argument(
        "--keep-storage", default="", metavar="SIZE", help="keep that much of the build cache, newest first"
    )
    parser.add_argument("-f", "--force", action="store_true", help=argparse.SUPPRESS)  # it never asks


def run(arguments: argparse.Namespace) -> int:
    went = node_client.call(arguments, "POST", "/prune", body(arguments)).json()
    printing.say(f"removed {went['build_records']} build records, {went['blobs']} blobs, {went['snapshots']} snapshots")
    printing.show(f"Total reclaimed space: {printing.size(went['freed_bytes'])}")
    return 0


def body(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the node is asked."""
    asked: dict[str, Any] = {}
    if arguments.all:
        asked = {"cache_age_seconds": 0.0, "context_bytes_max": 0, "grace_seconds": 0.0, "cache_mounts": True}
    for text in arguments.filter:
        key, _, value = text.partition("=")
        if key not in ("until", "unused-for"):
            raise Invalid(f"--filter {text!r}: the filter is until=DURATION")
        asked |= {"cache_age_seconds": seconds(value), "cache_mounts": False, "grace_seconds": 0.0}
    if arguments.keep_storage:
        asked |= {"cache_bytes_max": size(arguments.keep_storage), "grace_seconds": 0.0}
        if not arguments.all and not arguments.filter:
            asked["cache_age_seconds"] = None
    return asked


def seconds(text: str) -> float:
    """`24h`, `1h30m`, `7d`."""
    parts = _DURATION.findall(text)
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != text:
        raise Invalid(f"--filter until={text}: it is not a duration such as 24h")
    return float(sum(int(number) * _SECONDS[unit] for number, unit in parts))


def size(text: str) -> int:
    """`10GB`, `500m`, or bytes."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise Invalid(f"--keep-storage {text}: it is not a size such as 10GB")
    return int(float(match[1]) * _UNITS[match[2].lower()])
