"""`knarr inspect`: an image's configuration as JSON."""

import argparse
import json
from urllib.parse import urlencode

from knarr.cli import node_client, printing


def configure(parser: argparse.ArgumentParser) -> None:
    node_client.configure(parser)
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="a name, digest or id")


def run(arguments: argparse.Namespace) -> int:
    query = urlencode([("image", image) for image in arguments.images])
    printing.show(json.dumps(node_client.call(arguments, "GET", f"/inspect?{query}").json(), indent=4))
    return 0
