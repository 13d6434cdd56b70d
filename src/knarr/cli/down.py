"""`knarr down`: stop the processes, then every pod with a short grace; objects, images and logs stay."""

import argparse

from knarr.assembly import supervise
from knarr.assembly.settings import DEFAULT_NAME, Settings
from knarr.cli import printing, target

GRACE_SECONDS = 5.0


def configure(parser: argparse.ArgumentParser) -> None:
    target.configure(parser)
    parser.add_argument("--grace", type=float, default=GRACE_SECONDS, help="seconds a pod may take at most (default 5)")


def run(arguments: argparse.Namespace) -> int:
    settings = target.existing(arguments)
    if not settings.api_only:
        target.need_root("down")
    stop(settings, max(0.0, arguments.grace))
    flag = "" if settings.name == DEFAULT_NAME else f" --name {settings.name}"
    printing.say(f"the cluster {settings.name} is down; its objects and images stay. knarr up{flag} brings it back")
    return 0


def stop(settings: Settings, grace: float) -> None:
    """Stop everything of the cluster that runs."""
    with printing.step("processes ended"):
        supervise.stop(settings, supervise.roles(settings))
    if not settings.api_only:
        from knarr.assembly import node  # kubelet and CRI server: only where there are pods to stop

        with printing.step("pods stopped, network removed"):
            node.tear_down(settings, grace)
