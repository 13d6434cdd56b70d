"""`knarr version`: knarr's version, the Kubernetes level it serves, and the Python that runs it."""

import argparse
import platform

from knarr import __version__
from knarr.cli import printing

KUBERNETES_LEVEL = "1.37"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--short", action="store_true", help="print the bare version")


def run(arguments: argparse.Namespace) -> int:
    if arguments.short:
        printing.show(__version__)
    else:
        printing.show(f"knarr {__version__} (Kubernetes API {KUBERNETES_LEVEL}, Python {platform.python_version()})")
    return 0
