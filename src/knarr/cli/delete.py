"""`knarr delete --yes`: down, and then everything the cluster stored is removed: objects, images, keys, context.

Of a cluster whose own record is gone (its delete was killed, its state was lost) it removes what is left.
"""

import argparse
import sys

from knarr.assembly import settings as settings_module
from knarr.assembly.settings import Settings
from knarr.cli import down, kubeconfig, printing, target
from knarr.cli.printing import Failure


def configure(parser: argparse.ArgumentParser) -> None:
    target.configure(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    settings = target.settings(arguments)
    if not (settings.data_dir / settings_module.FILE_NAME).exists():
        return _remove_remnants(settings, arguments)
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


def _remove_remnants(settings: Settings, arguments: argparse.Namespace) -> int:
    from knarr.assembly import remnants  # the network and the runtime: only where there is no record

    # A directory that somebody names is not knarr's because he names it.
    left = remnants.found(settings) if arguments.data_dir is None else []
    if not left:
        target.existing(arguments)  # says that there is no such cluster
    if state := remnants.state_elsewhere(settings):
        raise Failure(
            f"the cluster {settings.name!r} runs, and {settings.data_dir} does not hold its state",
            f"its processes use {state}",
            f"knarr delete --name {settings.name} --data-dir {state}",
        )
    target.need_root("delete")
    for line in left:
        printing.say(f"left of {settings.name}: {line}")
    if not arguments.yes and not _is_meant(settings):
        raise Failure(
            "nothing was removed",
            "this removes what the lines above name",
            f"knarr delete --yes --name {settings.name}",
            printing.EXIT_USAGE,
        )
    with printing.step("remnants removed"):
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
    from knarr.assembly import remnants  # loaded by those who delete

    if settings.api_only:
        remnants.forget(settings)
        return
    remnants.remove(settings)
    if left := [*remnants.found(settings), *remnants.unseen()]:
        raise Failure(
            f"something of {settings.name} stays",
            "; ".join(left),
            f"once nothing uses it: knarr delete --yes --name {settings.name}",
        )
