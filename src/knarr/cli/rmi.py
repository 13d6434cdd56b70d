"""`knarr rmi`: remove names of images; what nothing names any more goes with `knarr prune`."""

import argparse

from knarr.cli import node_client, printing


def configure(parser: argparse.ArgumentParser) -> None:
    node_client.configure(parser)
    parser.add_argument("-f", "--force", action="store_true", help="remove all names of an image given by its id")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="a name, digest or id")


def run(arguments: argparse.Namespace) -> int:
    body = {"images": arguments.images, "all_names": arguments.force}
    for name in node_client.call(arguments, "POST", "/remove", body).json()["removed"]:
        printing.show(f"Untagged: {name}")
    return 0
