"""`knarr build`: list the context, ask the node to build, send what it lacks, show how it goes.

The node builds (builder/); this side reads files and flags. Imports are few: a cached build takes tens of milliseconds.
Flags are build_flags.py, their values build_values.py, contexts that are no directory build_sources.py, what happens to
the result build_results.py; the last three are imported where they are needed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time

from knarr.base.errors import Invalid
from knarr.cli import build_context, build_flags, build_progress, node_client
from knarr.cli.printing import EXIT_USAGE, Failure, say, show

TYPE_CHECKING = False  # see main.py
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from knarr.cli.build_context import Source

configure = build_flags.configure
_EPOCH = "SOURCE_DATE_EPOCH"
_EPOCH_MAX = 253402300799
"""The last second that a date of an image can say; the node holds to it too (nodeapi/messages.py)."""
_READ_LATER = (
    *("annotation", "secret", "ssh", "build_context", "platform", "no_cache_filter", "add_host", "ulimit", "allow"),
    *("cache_from", "cache_to", "attest", "shm_size", "timestamp", "provenance", "sbom", "output"),
)
"""Flags whose values build_values.py reads; a build without any of them does not import it."""


def run(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        source, text, file = _inputs(arguments, stack)
        if arguments.call != "build":
            from knarr.cli import build_calls

            return build_calls.answer(arguments, text, file, source.ignored)
        body, sources = _body(arguments, source, text, file, stack=stack)
        built = _built(arguments, body, sources)
        if arguments.iidfile or arguments.metadata_file or arguments.output or arguments.push or arguments.cache_to:
            from knarr.cli import build_results

            build_results.deliver(arguments, built)
    if arguments.quiet:
        show(built["digest"])
    else:
        names = ", ".join(built["names"]) or "an image without a name"
        say(f"built {names} {built['digest']} ({time.monotonic() - began:.2f} s)")
    return 0


def _inputs(arguments: argparse.Namespace, stack: contextlib.ExitStack) -> tuple[Source, str, str]:
    """The context, the Dockerfile's text and its name in messages."""
    where = arguments.context
    if where == "-" or (("://" in where or "@" in where.partition("/")[0]) and not os.path.isdir(where)):
        from knarr.cli import build_sources

        source, text = build_sources.elsewhere(arguments, stack)
        return source, text, os.path.basename(arguments.file) if arguments.file not in ("", "-") else "Dockerfile"
    text, file, path = _dockerfile(arguments, arguments.context)
    return build_context.read(arguments.context, path), text, file


def _body(
    arguments: argparse.Namespace, source: Source, text: str, file: str, *, stack: contextlib.ExitStack
) -> tuple[dict[str, Any], list[Source]]:
    """What the node is asked, and where it can have content from."""
    values = _pairs("--build-arg", arguments.build_arg, os.environ)
    body = {
        "dockerfile": text,
        "file": file,
        "context": source.rows,
        "ignored": source.ignored,
        "names": arguments.tag,
        "arguments": values,
        "labels": _pairs("--label", arguments.label, {}),
        "target": arguments.target,
        "network": arguments.network,
        "uses_cache": not arguments.no_cache,
        "pulls": arguments.pull,
        "epoch": epoch(_EPOCH, values.get(_EPOCH, os.environ.get(_EPOCH, ""))),
        "auths": _auths(),
    }
    if not any(getattr(arguments, flag) for flag in _READ_LATER):
        return body, [source]
    from knarr.cli import build_sources, build_ssh, build_values

    body |= build_values.body(arguments)
    if arguments.cache_from:
        from knarr.cli import build_caches

        body["cache_from"] = build_caches.sources(arguments, stack)
    body["ssh"] = build_ssh.agents(arguments.ssh, stack)
    contexts, images = build_sources.named(arguments, stack)
    body |= {"contexts": {name: each.rows for name, each in contexts.items()}, "images": images}
    return body, [source, *contexts.values()]


def _built(arguments: argparse.Namespace, body: dict[str, Any], sources: list[Source]) -> Any:
    progress = build_progress.chosen(arguments.progress, is_quiet=arguments.quiet)

    def see(line: dict[str, Any]) -> None:
        if "need" not in line:
            progress.see(line)
            return
        answer = node_client.call(
            arguments,
            "POST",
            f"/builds/{line['build']}/content",
            lambda stream: build_context.send(sources, line["need"], stream),
        )
        answer.json()

    try:
        return node_client.result(node_client.call(arguments, "POST", "/build", body), see)
    finally:
        progress.end()


def _dockerfile(arguments: argparse.Namespace, root: str) -> tuple[str, str, str | None]:
    """The text, its name in messages, and where it lies."""
    if arguments.file == "-":
        return sys.stdin.read(), "Dockerfile", None
    if "://" in arguments.file:
        from knarr.cli import build_sources

        return build_sources.fetched_text(arguments.file), "Dockerfile", None
    path = arguments.file or os.path.join(root, "Dockerfile")
    if not os.path.isdir(root):
        why = "it is a file" if os.path.exists(root) else "there is nothing of that name"
        raise Failure(f"{root} is not a directory", why, "give the directory whose files COPY may take", EXIT_USAGE)
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(), os.path.basename(path), path
    except FileNotFoundError as error:
        todo = "check the path after -f" if arguments.file else _instead(root)
        raise Failure(f"there is no {path}", "a build needs a Dockerfile", todo, EXIT_USAGE) from error
    except IsADirectoryError as error:
        raise Failure(f"{path} is not a Dockerfile", "it is a directory", "name a file with -f", EXIT_USAGE) from error
    except UnicodeDecodeError as error:
        raise Failure(f"{path} is not a Dockerfile", "it is not text", "name another with -f", EXIT_USAGE) from error
    except PermissionError as error:
        raise Failure(f"{path} cannot be read", "its mode forbids it", "chmod it, or use sudo", EXIT_USAGE) from error


def _instead(root: str) -> str:
    """What to do where a directory has no Dockerfile: perhaps it has one by another name."""
    near = sorted(name for name in os.listdir(root) if name.casefold().startswith(("dockerfile", "containerfile")))
    if not near:
        return "write one, or name it with -f"
    return f"there is {near[0]}: name it with -f {os.path.join(root, near[0])}, or call it Dockerfile"


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


def epoch(what: str, text: str) -> int | None:
    """Seconds since 1970."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise Invalid(f"{what}: {text!r} is not a number of seconds")
    if int(text) > _EPOCH_MAX:
        raise Invalid(f"{what}: {text} is after the year 9999")
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
