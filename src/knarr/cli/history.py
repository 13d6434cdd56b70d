"""`knarr history`: the steps that made an image, newest first."""

import argparse
from datetime import UTC, datetime
from urllib.parse import urlencode

from knarr.cli import node_client, printing
from knarr.cli.ages import age

_SHOWN = 80


def configure(parser: argparse.ArgumentParser) -> None:
    node_client.configure(parser)
    parser.add_argument("--no-trunc", action="store_true", help="show whole instructions")
    parser.add_argument("image", metavar="IMAGE", help="a name, digest or id")


def run(arguments: argparse.Namespace) -> int:
    answer = node_client.call(arguments, "GET", "/history?" + urlencode({"image": arguments.image}))
    now = datetime.now(UTC)
    rows = []
    for row in answer.json()[0]:
        text = " ".join(row["created_by"].split())
        if len(text) > _SHOWN and not arguments.no_trunc:
            text = text[: _SHOWN - 1] + "…"
        rows.append([age(row["created"], now), text, printing.size(row["size"]), row["comment"]])
    printing.show(printing.table(["CREATED", "CREATED BY", "SIZE", "COMMENT"], rows))
    return 0
