"""`knarr images`: the images of this node, as a table or as JSON."""

import argparse
import json
from datetime import UTC, datetime
from typing import Any

from knarr.cli import node_client, printing
from knarr.cli.ages import age


def configure(parser: argparse.ArgumentParser) -> None:
    node_client.configure(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="print ids alone")
    parser.add_argument("--digests", action="store_true", help="show digests too")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("repository", nargs="?", default="", help="only this repository, or REPOSITORY:TAG")


def run(arguments: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = node_client.call(arguments, "GET", "/images").json()["images"]
    wanted = arguments.repository
    if wanted:
        rows = [row for row in rows if wanted in (row["repository"], f"{row['repository']}:{row['tag']}")]
    if arguments.json:
        printing.show(json.dumps(rows, indent=2))
    elif arguments.quiet:
        for identity in dict.fromkeys(row["id"][7:19] for row in rows):
            printing.show(identity)
    else:
        printing.show(table(rows, with_digests=arguments.digests, now=datetime.now(UTC)))
    return 0


def table(rows: list[dict[str, Any]], *, with_digests: bool, now: datetime) -> str:
    """The rows as docker prints them."""
    header = ["REPOSITORY", "TAG", *(["DIGEST"] if with_digests else []), "IMAGE ID", "CREATED", "SIZE"]
    return printing.table(
        header,
        [
            [
                row["repository"],
                row["tag"],
                *([row["digest"]] if with_digests else []),
                row["id"][7:19],
                age(row["created"], now),
                printing.size(row["size"]),
            ]
            for row in rows
        ],
    )
