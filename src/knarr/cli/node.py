"""`knarr node`: the node process (kubelet, CRI server, builder, registry). Started by `knarr up`."""

import argparse

from knarr.cli import target


def configure(parser: argparse.ArgumentParser) -> None:
    target.configure(parser)
    parser.add_argument("--report-fd", type=int, default=None, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    from knarr.assembly import role  # the event loop and its libraries: only in this process

    return role.main(target.existing(arguments), "node", arguments.report_fd)
