"""`knarr registry serve`: the image registry, the builder and the image verbs without a cluster."""

import argparse
import dataclasses

from knarr.assembly import settings as settings_module
from knarr.assembly import supervise
from knarr.cli import printing, target
from knarr.cli.printing import Failure


def configure(parser: argparse.ArgumentParser) -> None:
    target.configure(parser)
    parser.add_argument("--registry-port", type=int, default=None, help="the port on localhost (default 5000)")
    parser.add_argument("action", choices=("serve",), help="serve: answer until interrupted")


def run(arguments: argparse.Namespace) -> int:
    target.need_root("registry serve")
    settings = target.settings(arguments)
    if pid := supervise.running_pid(settings, "node"):
        raise Failure(
            f"the node of {settings.name} serves images already",
            f"it runs as pid {pid}, with its registry on localhost:{settings.registry_port}",
            "use that one, or serve another with --name and --registry-port",
            printing.EXIT_IN_USE,
        )
    if arguments.registry_port is not None:
        settings = dataclasses.replace(settings, registry_port=arguments.registry_port)
    settings.data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    settings.run_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    if settings_module.load(settings.data_dir) is None:
        settings_module.save(settings)

    from knarr.assembly import image_node  # the event loop and its libraries: only here

    return image_node.main(settings)
