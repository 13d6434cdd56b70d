"""`knarr save`: images as one archive, which docker, podman and skopeo read too."""

import argparse
import sys
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlencode

from knarr.cli import node_client, printing, whole_file
from knarr.cli.printing import Failure


def configure(parser: argparse.ArgumentParser) -> None:
    node_client.configure(parser)
    parser.add_argument("-o", "--output", type=Path, default=None, help="the file to write (default: standard output)")
    parser.add_argument("--referrers", action="store_true", help="with the signatures, SBOMs and such that are here")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="a name, digest or id")


def run(arguments: argparse.Namespace) -> int:
    if arguments.output is None and sys.stdout.isatty():
        raise Failure(
            "an archive is not for a terminal", "its bytes would garble it", "knarr save -o FILE …", printing.EXIT_USAGE
        )
    wanted = [("image", image) for image in arguments.images] + [("referrers", "1")] * arguments.referrers
    answer = node_client.call(arguments, "GET", "/save?" + urlencode(wanted))
    if arguments.output is None:
        _write(answer, sys.stdout.buffer)
        return 0
    try:
        with whole_file.written(arguments.output) as file:
            _write(answer, file)
    except OSError as error:
        raise Failure(
            f"{arguments.output} was not written", error.strerror or str(error), "give another path with -o"
        ) from error
    return 0


def _write(answer: node_client.Answer, file: BinaryIO) -> None:
    for piece in answer.pieces():
        file.write(piece)
