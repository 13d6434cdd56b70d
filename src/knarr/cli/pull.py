"""`knarr pull`: fetch an image from its registry; the work is the node's."""

import argparse

from knarr.cli import transfer


def configure(parser: argparse.ArgumentParser) -> None:
    transfer.configure(parser)
    parser.add_argument(
        "--referrers", action="store_true", help="fetch signatures, SBOMs and attestations, too; a push sends them on"
    )
    parser.add_argument("--all-platforms", action="store_true", help="fetch the image of every platform, too")


def run(arguments: argparse.Namespace) -> int:
    return transfer.run(arguments, "pull", referrers=arguments.referrers, all_platforms=arguments.all_platforms)
