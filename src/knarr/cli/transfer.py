"""What `knarr push` and `knarr pull` share: credentials of the user, the request, the digest at the end."""

import argparse
import json
import os
import subprocess
from typing import Any

from knarr.base.errors import KnarrError, NotFound, Unavailable
from knarr.cli import node_client, printing
from knarr.cli.printing import Failure
from knarr.cli.transfer_progress import Progress


def configure(parser: argparse.ArgumentParser) -> None:
    node_client.configure(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="print the digest alone")
    parser.add_argument("image", metavar="REF", help="the image's name")


def run(arguments: argparse.Namespace, verb: str, **wanted: bool) -> int:
    done = _transferred(arguments, verb, arguments.image, wanted)
    printing.show(done["digest"])
    return 0


def push(arguments: argparse.Namespace, image: str) -> None:
    """Push an image that another verb made."""
    _transferred(arguments, "push", image, {})


def _transferred(arguments: argparse.Namespace, verb: str, image: str, wanted: dict[str, bool]) -> dict[str, Any]:
    body = {"image": image, **_credentials(image), **wanted}
    progress = Progress(is_quiet=arguments.quiet)
    try:
        done: dict[str, Any] = node_client.result(node_client.call(arguments, "POST", f"/{verb}", body), progress.see)
    except (Unavailable, NotFound) as error:
        raise refused(verb, image, error, arguments.name) from error
    finally:
        progress.end()
    if not arguments.quiet:
        count = done.get("referrers")
        more = f" with {count} {'referrer' if count == 1 else 'referrers'}" if wanted.get("referrers") else ""
        printing.say(f"{verb}ed {done['name']}{more}")
    return done


def refused(verb: str, image: str, error: KnarrError, cluster: str) -> Failure:
    """What a registry that is not reached, or that does not have the image, means to who typed the name."""
    from knarr.oci import reference

    found = reference.parse(image)
    if isinstance(error, NotFound):
        if verb == "push":
            todo = "check the name; knarr images lists the images here"
        else:
            todo = f"check name and tag; curl http://{found.domain}/v2/_catalog lists what a registry without TLS has"
        return Failure(str(error), todo=todo, code=printing.EXIT_MISSING)
    todo = f"see that {found.domain} runs, and that this machine reaches it"
    if found.domain == reference.DEFAULT_DOMAIN and not image.startswith(reference.DEFAULT_DOMAIN):
        own = f"{_own_registry(cluster)}/{found.familiar}"
        todo = f"a name without a registry means {found.domain}; for the cluster's own: knarr {verb} {own}"
        if verb == "push":
            todo += f", after knarr tag {found.familiar} {own}"
    return Failure(f"the registry {found.domain} is not reached", str(error), todo, printing.EXIT_NOT_RUNNING)


def _own_registry(cluster: str) -> str:
    from knarr.assembly import settings

    fresh = settings.default(cluster, is_root=os.getuid() == 0)
    return f"localhost:{(settings.load(fresh.data_dir) or fresh).registry_port}"


def _credentials(image: str) -> dict[str, Any]:
    """From ~/.docker/config.json: the whole of `auths`, or what the credential helper of the registry says."""
    from knarr.images import credentials
    from knarr.oci import reference

    directory = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
    try:
        with open(os.path.join(directory, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
    except (OSError, ValueError):
        return {}
    if not isinstance(config, dict):
        return {}
    helper = credentials.helper_for(config, reference.parse(image).domain)
    if helper is not None and (found := _ask(*helper)):
        return found
    auths = config.get("auths", {})
    return {"auths": auths if isinstance(auths, dict) else {}}


def _ask(program: str, server: str) -> dict[str, str]:
    try:
        answered = subprocess.run([program, "get"], input=server.encode(), capture_output=True, timeout=30, check=True)
        found = json.loads(answered.stdout)
        return {"username": str(found["Username"]), "password": str(found["Secret"])}
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return {}
