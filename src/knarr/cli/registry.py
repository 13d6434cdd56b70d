"""`knarr registry serve`: the image registry, the builder and the image verbs without a cluster; the registry alone
without root. `knarr registry passwd` gives a user a password in the file that `--htpasswd` reads.
"""

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any

from knarr.assembly import settings as settings_module
from knarr.assembly import supervise
from knarr.assembly.settings import Settings
from knarr.cli import printing, target
from knarr.cli.printing import Failure

# Flag, how argparse takes it, what it says. Names with `-` for `_` are fields of registry/options.py.
_FLAGS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("listen", {"metavar": "ADDRESS"}, "listen on this address instead of 127.0.0.1; needs TLS and users"),
    ("hosts", {"action": "append", "metavar": "NAME"}, "a host name under which clients may come (repeatable)"),
    ("tls-certificate", {"metavar": "FILE"}, "serve TLS with this PEM certificate"),
    ("tls-key", {"metavar": "FILE"}, "and this key"),
    (
        "htpasswd",
        {"metavar": "FILE"},
        "let in only the users of this file (knarr registry passwd, htpasswd -B)",
    ),
    ("auth", {"choices": ("basic", "token")}, "how users show who they are (default basic)"),
    ("anonymous-pull", {"action": "store_true", "default": None}, "let everybody pull"),
    ("quota-bytes", {"type": int, "metavar": "N"}, "hold at most so many bytes"),
    ("repository-quota-bytes", {"type": int, "metavar": "N"}, "hold at most so many bytes in each repository"),
    ("proxies", {"action": "append", "metavar": "REGISTRY"}, "fetch and keep what is missing from it (repeatable)"),
    ("proxy-ttl-seconds", {"type": float, "metavar": "N"}, "believe a fetched tag for so long (default 300)"),
    ("docker-config", {"metavar": "FILE"}, "a Docker config.json with credentials for the proxies"),
)
_SINGULAR = {"hosts": "host", "proxies": "proxy"}


def configure(parser: argparse.ArgumentParser) -> None:
    target.configure(parser)
    parser.add_argument("--registry-port", type=int, default=None, help="the port on localhost (default 5000)")
    for name, how, text in _FLAGS:
        word = _SINGULAR.get(name, name)
        parser.add_argument(f"--{word}", dest=name.replace("-", "_"), help=text, **{"default": None, **how})
    parser.add_argument("action", choices=("serve", "passwd"), help="serve until interrupted, or set a password")
    parser.add_argument("--user", default="", help="passwd: whose password; it is read from standard input")


def run(arguments: argparse.Namespace) -> int:
    if arguments.action == "passwd":
        return _set_password(arguments)
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
    return _serve(settings, arguments)


def _serve(settings: Settings, arguments: argparse.Namespace) -> int:
    from knarr.assembly import image_node  # the event loop and its libraries: only here
    from knarr.registry import options

    given = {name.replace("-", "_"): getattr(arguments, name.replace("-", "_")) for name, _, _ in _FLAGS}
    given = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items() if v is not None}
    told = options.checked(options.changed(options.read(settings.registry_file), given))
    is_root = os.getuid() == 0
    if not is_root:
        printing.say("without root: the registry alone; knarr build, pull and images need root")
    return image_node.main(settings, told, builds=is_root)


def _set_password(arguments: argparse.Namespace) -> int:
    from knarr.registry import passwords

    if not arguments.htpasswd or not arguments.user:
        raise Failure(
            "knarr registry passwd needs a file and a user",
            todo="knarr registry passwd --htpasswd FILE --user NAME",
            code=printing.EXIT_USAGE,
        )
    import getpass
    import sys

    password = getpass.getpass("password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    passwords.write(Path(arguments.htpasswd), arguments.user, password)
    printing.say(f"{arguments.user} has a password in {arguments.htpasswd}")
    return 0
