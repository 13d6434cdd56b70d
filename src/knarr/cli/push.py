"""`knarr push`: send an image to its registry; the work is the node's."""

import argparse

from knarr.cli import transfer
from knarr.cli.transfer import configure

__all__ = ["configure", "run"]


def run(arguments: argparse.Namespace) -> int:
    return transfer.run(arguments, "push")
