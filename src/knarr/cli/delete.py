"""`knarr delete --yes`: down, and then everything the cluster stored is removed: objects, images, keys, context."""

import argparse
import shutil
import sys

from knarr.assembly.settings import Settings
from knarr.cli import down, kubeconfig, printing, target
from knarr.cli.printing import Failure


def configure(parser: argparse.ArgumentParser) -> None:
    target.configure(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    settings = target.existing(arguments)
    if not settings.api_only:
        target.need_root("delete")
    if not arguments.yes and not _is_meant(settings):
        raise Failure(
            "nothing was deleted",
            "this removes all objects and images",
            f"knarr delete --yes --name {settings.name}",
            printing.EXIT_USAGE,
        )
    down.stop(settings, 0.0)
    with printing.step("state removed"):
        forget(settings)
    return 0


def _is_meant(settings: Settings) -> bool:
    if not sys.stdin.isatty():
        return False
    printing.say(f"Delete the cluster {settings.name!r} with all its objects and images ({settings.data_dir})? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def forget(settings: Settings) -> None:
    """Remove the state, the runtime directory, the keys, and knarr's entries in the kubeconfig."""
    file = kubeconfig.path(settings.owner_uid)
    before = kubeconfig.read(file)
    after = kubeconfig.without(before, settings.context)
    if after != before:
        kubeconfig.write(file, after, (settings.owner_uid, settings.owner_gid))
    shutil.rmtree(settings.secrets_dir, ignore_errors=True)
    shutil.rmtree(settings.run_dir, ignore_errors=True)
    shutil.rmtree(settings.data_dir)
