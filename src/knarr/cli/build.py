"""`knarr build`: list the context, ask the node to build, send what it lacks, show how it goes.

The node builds (builder/); this side reads files and flags. Imports are few: a cached build takes tens of milliseconds.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from knarr.base.errors import Invalid
from knarr.cli import build_context, build_progress, node_client
from knarr.cli.build_context import Context
from knarr.cli.printing import EXIT_USAGE, Failure, say, show

SECRET_MAX = 500 * 1024


def configure(parser: argparse.ArgumentParser) -> None:
    node_client.configure(parser)
    parser.add_argument("-t", "--tag", action="append", default=[], metavar="REF", help="the image's name; repeatable")
    parser.add_argument(
        "-f", "--file", default="", help="the Dockerfile (default DIR/Dockerfile), - for standard input"
    )
    parser.add_argument("--build-arg", action="append", default=[], metavar="K=V", help="a value for an ARG")
    parser.add_argument("--label", action="append", default=[], metavar="K=V", help="a label for the image")
    parser.add_argument(
        "--secret", action="append", default=[], metavar="id=ID,src=FILE", help="for RUN --mount=secret"
    )
    parser.add_argument("--target", default="", help="the stage to build (default: the last)")
    parser.add_argument("--platform", default="", help="the platform to build for")
    parser.add_argument("--no-cache", action="store_true", help="run every step again")
    parser.add_argument("--pull", action="store_true", help="ask the registry for newer base images")
    parser.add_argument("-q", "--quiet", action="store_true", help="print the image's digest alone")
    parser.add_argument("--progress", choices=("auto", "plain"), default="auto", help="plain: no live lines")
    parser.add_argument("context", metavar="DIR", help="the directory whose files COPY and ADD may take")


def run(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    root = Path(arguments.context)
    text, file, path = _dockerfile(arguments, root)
    context = build_context.read(root, path)
    progress = build_progress.chosen(arguments.progress, is_quiet=arguments.quiet)
    body = {
        "dockerfile": text,
        "file": file,
        "context": context.rows,
        "names": arguments.tag,
        "arguments": _pairs("--build-arg", arguments.build_arg, os.environ),
        "labels": _pairs("--label", arguments.label, {}),
        "secrets": dict(_secret(given) for given in arguments.secret),
        "target": arguments.target,
        "platform": arguments.platform,
        "uses_cache": not arguments.no_cache,
        "pulls": arguments.pull,
        "epoch": _epoch(),
        "auths": _auths(),
    }

    def see(line: dict[str, Any]) -> None:
        if "need" in line:
            _send(arguments, context, line)
        else:
            progress.see(line)

    try:
        built = node_client.result(node_client.call(arguments, "POST", "/build", body), see)
    finally:
        progress.end()
    if arguments.quiet:
        show(built["digest"])
    else:
        names = ", ".join(built["names"]) or "an image without a name"
        say(f"built {names} {built['digest']} ({time.monotonic() - began:.2f} s)")
    return 0


def _dockerfile(arguments: argparse.Namespace, root: Path) -> tuple[str, str, Path | None]:
    """The text, its name in messages, and where it lies."""
    if arguments.file == "-":
        return sys.stdin.read(), "Dockerfile", None
    path = Path(arguments.file) if arguments.file else root / "Dockerfile"
    if not root.is_dir():
        why = "it is a file" if root.exists() else "there is nothing of that name"
        raise Failure(f"{root} is not a directory", why, "give the directory whose files COPY may take", EXIT_USAGE)
    try:
        return path.read_text(), path.name, path
    except FileNotFoundError as error:
        todo = "check the path after -f" if arguments.file else "write one, or name it with -f"
        raise Failure(f"there is no {path}", "a build needs a Dockerfile", todo, EXIT_USAGE) from error
    except IsADirectoryError as error:
        raise Failure(f"{path} is not a Dockerfile", "it is a directory", "name a file with -f", EXIT_USAGE) from error
    except UnicodeDecodeError as error:
        raise Failure(f"{path} is not a Dockerfile", "it is not text", "name another with -f", EXIT_USAGE) from error
    except PermissionError as error:
        raise Failure(f"{path} cannot be read", "its mode forbids it", "chmod it, or use sudo", EXIT_USAGE) from error


def _send(arguments: argparse.Namespace, context: Context, line: dict[str, Any]) -> None:
    digests = line["need"]
    answer = node_client.call(
        arguments, "POST", f"/builds/{line['build']}/content", lambda body: context.send(digests, body)
    )
    answer.json()


def _pairs(flag: str, given: list[str], fallback: Any) -> dict[str, str]:
    """`K=V`; a `K` alone takes its value from the environment, if it has one."""
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name:
            raise Invalid(f"{flag} {text!r}: there is no name before the =")
        if equals or name in fallback:
            pairs[name] = value if equals else fallback[name]
    return pairs


def _secret(given: str) -> tuple[str, str]:
    """`id=ID,src=FILE` or `id=ID,env=NAME` → id and base64."""
    options = dict(part.partition("=")[::2] for part in given.split(","))
    source = options.get("src") or options.get("source")
    name = options.get("id") or (Path(source).name if source else "")
    if not name:
        raise Invalid(f"--secret {given!r} is not id=ID,src=FILE")
    variable = options.get("env") or ("" if source else name)
    if source:
        try:
            content = Path(source).read_bytes()
        except OSError as error:
            raise Invalid(f"--secret id={name}: {source}: {error.strerror}") from error
    elif variable in os.environ:
        content = os.fsencode(os.environ[variable])
    else:
        raise Invalid(f"--secret id={name}: name its file with src=")
    if len(content) > SECRET_MAX:
        raise Invalid(f"--secret id={name}: {len(content)} bytes are more than {SECRET_MAX}")
    import base64  # only builds with secrets need it

    return name, base64.b64encode(content).decode()


def _epoch() -> int | None:
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise Invalid(f"SOURCE_DATE_EPOCH: {text!r} is not a number of seconds")
    return int(text)


def _auths() -> dict[str, Any]:
    """The registries that the user is logged in to, for private base images."""
    directory = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
    try:
        with open(os.path.join(directory, "config.json"), encoding="utf-8") as file:
            auths = json.load(file).get("auths", {})
    except (OSError, ValueError, AttributeError):
        return {}
    return auths if isinstance(auths, dict) else {}
