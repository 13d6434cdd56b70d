"""`knarr tag`: give an image another name."""

import argparse

from knarr.cli import node_client


def configure(parser: argparse.ArgumentParser) -> None:
    node_client.configure(parser)
    parser.add_argument("source", metavar="IMAGE", help="a name, digest or id")
    parser.add_argument("target", metavar="REF", help="the new name")


def run(arguments: argparse.Namespace) -> int:
    node_client.call(arguments, "POST", "/tag", {"source": arguments.source, "target": arguments.target}).json()
    return 0
