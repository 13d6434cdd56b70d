"""`knarr load`: images from an archive that knarr, docker, podman or skopeo wrote."""

import argparse
import sys
from pathlib import Path
from typing import BinaryIO

from knarr.cli import node_client, printing
from knarr.cli.printing import Failure

_PIECE = 1 << 20


def configure(parser: argparse.ArgumentParser) -> None:
    node_client.configure(parser)
    parser.add_argument("-i", "--input", type=Path, default=None, help="the archive (default: standard input)")


def run(arguments: argparse.Namespace) -> int:
    if arguments.input is None:
        if sys.stdin.isatty():
            raise Failure(
                "a terminal holds no archive",
                "neither -i nor a pipe gives one",
                "knarr load -i FILE",
                printing.EXIT_USAGE,
            )
        return _load(arguments, sys.stdin.buffer)
    try:
        with open(arguments.input, "rb") as file:
            return _load(arguments, file)
    except OSError as error:
        raise Failure(
            f"{arguments.input} cannot be read",
            error.strerror or str(error),
            "check the path after -i",
            printing.EXIT_MISSING,
        ) from error


def _load(arguments: argparse.Namespace, file: BinaryIO) -> int:
    def body(stream: BinaryIO) -> None:
        while piece := file.read(_PIECE):
            stream.write(piece)

    for name in node_client.call(arguments, "POST", "/load", body).json()["names"]:
        printing.show(f"Loaded image: {name}")
    return 0
