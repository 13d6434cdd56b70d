"""`knarr prune`: remove build results long unused, and blobs and snapshots that no image needs."""

import argparse

from knarr.cli import node_client, printing


def configure(parser: argparse.ArgumentParser) -> None:
    node_client.configure(parser)
    parser.add_argument("-a", "--all", action="store_true", help="remove the whole build cache too, however young")


def run(arguments: argparse.Namespace) -> int:
    body = {"cache_age_seconds": 0.0, "context_bytes_max": 0, "grace_seconds": 0.0} if arguments.all else {}
    went = node_client.call(arguments, "POST", "/prune", body).json()
    printing.say(f"removed {went['build_records']} build records, {went['blobs']} blobs, {went['snapshots']} snapshots")
    printing.show(f"Total reclaimed space: {printing.size(went['freed_bytes'])}")
    return 0
