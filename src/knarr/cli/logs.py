"""`knarr logs [COMPONENT]`: the log of a knarr process, or of both."""

import argparse
import collections
import os

from knarr.cli import printing, target
from knarr.cli.printing import Failure

COMPONENTS = ("control", "node")


def configure(parser: argparse.ArgumentParser) -> None:
    target.configure(parser)
    parser.add_argument("component", nargs="?", choices=COMPONENTS, help="control or node (default: both)")
    parser.add_argument("--tail", type=_count, default=200, help="lines from the end (default 200)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as lines come (one component)")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of lines")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    settings = target.existing(arguments)
    chosen = (arguments.component,) if arguments.component else COMPONENTS
    if arguments.follow and not arguments.component:
        raise Failure(
            "--follow needs a component",
            "two logs cannot be followed in one stream",
            "knarr logs -f node",
            printing.EXIT_USAGE,
        )
    for component in chosen:
        path = settings.log_dir / f"{component}.log"
        try:
            with path.open(errors="replace") as file:
                for line in collections.deque(file, maxlen=arguments.tail):
                    printing.show(line.rstrip("\n"))
            if arguments.follow:
                # tail waits on inotify and survives rotation; coreutils is on every Debian. No shell is involved.
                os.execvp("tail", ["tail", "-n", "0", "-F", str(path)])  # noqa: S606
        except FileNotFoundError:
            printing.say(f"{component} has not logged anything yet")
        except PermissionError as error:
            raise Failure(
                f"{path} cannot be read", "it belongs to root", "sudo knarr logs", printing.EXIT_NOT_ALLOWED
            ) from error
    return 0
