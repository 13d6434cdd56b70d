"""Which cluster a verb is about: the --name and --data-dir flags, turned into Settings; and the question of root."""

import argparse
import os
import shutil
import sys
from pathlib import Path

from knarr.assembly import settings as settings_module
from knarr.assembly.settings import Settings
from knarr.cli import printing
from knarr.cli.printing import Failure


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default=settings_module.DEFAULT_NAME, help="the cluster's name (default: knarr)")
    parser.add_argument("--data-dir", type=Path, default=None, help="where the cluster keeps its state")


def settings(arguments: argparse.Namespace) -> Settings:
    """The cluster's kept settings, or the default ones if it was never up."""
    fresh = settings_module.default(arguments.name, is_root=os.getuid() == 0, data_dir=arguments.data_dir)
    kept = settings_module.load(fresh.data_dir)
    if kept is not None and kept.name != fresh.name:
        raise Failure(
            f"{fresh.data_dir} belongs to the cluster {kept.name!r}, not {fresh.name!r}",
            "two clusters cannot share a state directory",
            f"use --name {kept.name} or another --data-dir",
        )
    return kept or fresh


def existing(arguments: argparse.Namespace) -> Settings:
    """The cluster's kept settings. Raises Failure if there is no such cluster."""
    found = settings(arguments)
    if not (found.data_dir / settings_module.FILE_NAME).exists():
        others = [name for name in _kept_names(found.data_dir.parent) if arguments.data_dir is None]
        flag = "" if found.name == settings_module.DEFAULT_NAME else f" --name {found.name}"
        raise Failure(
            f"there is no cluster {found.name!r}",
            f"{found.data_dir} holds none" + (f"; there are {', '.join(others)}" if others else ""),
            f"knarr up{flag} makes one" + (", --name says which is meant" if others else ""),
            printing.EXIT_NOT_RUNNING,
        )
    return found


def _kept_names(directory: Path) -> list[str]:
    return sorted(path.parent.name for path in directory.glob(f"*/{settings_module.FILE_NAME}"))


def need_root(verb: str, uid: int | None = None, has_terminal: bool | None = None) -> None:
    """Return only as root: else run the same command through sudo. Raises Failure where that cannot be.

    `uid` and `has_terminal` are this process's own when None.
    """
    if (os.getuid() if uid is None else uid) == 0:
        return
    if shutil.which("sudo") and (sys.stdin.isatty() if has_terminal is None else has_terminal):
        printing.say(f"knarr {verb} needs root for namespaces, mounts and the bridge: asking sudo")
        keep = [f"{key}={os.environ[key]}" for key in ("KUBECONFIG", "HOME") if key in os.environ]
        os.execvp("sudo", ["sudo", *keep, sys.executable, "-m", "knarr", *sys.argv[1:]])  # noqa: S606  no shell
    raise Failure(
        f"knarr {verb} needs root",
        "containers need namespaces, mounts and a network bridge",
        f"sudo knarr {verb}, or knarr up --api-only for the API server alone",
        printing.EXIT_NOT_ALLOWED,
    )
