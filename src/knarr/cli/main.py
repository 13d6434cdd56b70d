"""The knarr command: finds the verb in the table, imports its module alone, runs it, and turns errors into exit codes.

Starting must cost little (a cached build answers in tens of milliseconds), so nothing is imported here that a verb
does not need. Each verb module has `configure(parser)` and `run(arguments) -> exit code`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from knarr import __version__
from knarr.base import errors
from knarr.cli import printing

# Not typing's: importing that costs milliseconds, as do dataclasses, pathlib and shutil. Type checkers know the name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


class Verb:
    """One row: the word, the module in knarr.cli that has it, what it does; hidden ones are for knarr itself."""

    __slots__ = ("help", "is_hidden", "module", "word")

    def __init__(self, word: str, module: str, help: str, is_hidden: bool = False) -> None:
        self.word, self.module, self.help, self.is_hidden = word, module, help, is_hidden


VERBS = (
    Verb("up", "up", "bring the cluster up and point kubectl at it"),
    Verb("down", "down", "stop every pod and process; keep objects and images"),
    Verb("delete", "delete", "stop the cluster and remove everything it stored"),
    Verb("status", "status", "say what runs and whether it is ready"),
    Verb("why", "why", "say why an object is not where its spec wants it"),
    Verb("doctor", "doctor", "check what this machine offers and what is missing"),
    Verb("logs", "logs", "print the log of a knarr process"),
    Verb("build", "build", "build an image from a Dockerfile"),
    Verb("push", "push", "push an image to a registry"),
    Verb("pull", "pull", "pull an image from a registry"),
    Verb("images", "images", "list images"),
    Verb("tag", "tag", "give an image another name"),
    Verb("rmi", "rmi", "remove an image name"),
    Verb("save", "save", "write images to an archive"),
    Verb("load", "load", "read images from an archive"),
    Verb("history", "history", "show the steps that made an image"),
    Verb("inspect", "inspect", "show an image's configuration"),
    Verb("prune", "prune", "remove what no image and no build needs"),
    Verb("registry", "registry", "serve the image registry without a cluster"),
    Verb("version", "version", "print the version"),
    Verb("completion", "completion", "print a completion script for a shell"),
    Verb("control", "control", "the control process", is_hidden=True),
    Verb("node", "node", "the node process", is_hidden=True),
)

# Errors that a verb did not turn into a Failure itself: exit code, and what to do about it.
EXIT_CODES: tuple[tuple[type[errors.KnarrError], int, str], ...] = (
    (errors.NotFound, printing.EXIT_MISSING, "check the name; knarr images lists the images here"),
    (errors.Forbidden, printing.EXIT_NOT_ALLOWED, "log in (docker login) or ask whoever may"),
    (errors.Unauthenticated, printing.EXIT_NOT_ALLOWED, "log in (docker login), then try again"),
    (errors.Unavailable, printing.EXIT_NOT_RUNNING, "see that it runs (knarr status, for the cluster), then try again"),
    (errors.Invalid, printing.EXIT_USAGE, "knarr {verb} --help shows the options"),
    (errors.BadRequest, printing.EXIT_USAGE, "knarr {verb} --help shows the options"),
    (errors.KnarrError, printing.EXIT_FAILED, ""),
)


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the words as every other error is said."""

    def error(self, message: str) -> NoReturn:
        raise printing.Failure(
            f"{self.prog} cannot tell what is meant", message, f"{self.prog} --help shows how", printing.EXIT_USAGE
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except printing.Failure as failure:
        printing.show_failure(failure)
        return failure.code
    except errors.KnarrError as error:
        code, todo = next((code, todo) for kind, code, todo in EXIT_CODES if isinstance(error, kind))
        printing.show_failure(printing.Failure(str(error), todo=todo.format(verb=words[0]), code=code))
        return code
    except KeyboardInterrupt:
        printing.say("interrupted")
        return printing.EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`knarr images | head`): that is its right.
        _drop_output()
        return printing.EXIT_FAILED
    except OSError as error:
        # A disk that is full, a directory that may not be written: the system's own words say it.
        place = error.filename or "the output"
        printing.show_failure(printing.Failure(f"{place} cannot be used", error.strerror or str(error)))
        if error.filename is None:
            _drop_output()
        return printing.EXIT_FAILED


def _drop_output() -> None:
    """Python writes what is left of the output when it exits, and would complain once more with a code of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(words: list[str]) -> int:
    verb = next((row for row in VERBS if words and row.word == words[0]), None)
    if verb is None:
        return _overview(words)
    module = importlib.import_module(f"knarr.cli.{verb.module}")
    description = f"knarr {verb.word}: {verb.help}."
    parser = Parser(prog=f"knarr {verb.word}", description=description, formatter_class=_formatter)
    module.configure(parser)
    code: int = module.run(parser.parse_args(words[1:]))
    return code


def _formatter(prog: str) -> argparse.HelpFormatter:
    """With the width said, argparse does not import shutil to find it; it makes one of these for every option."""
    return argparse.HelpFormatter(prog, width=_width())


def _width() -> int:
    """As argparse would have it."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns):
        return int(columns) - 2
    try:
        return (os.get_terminal_size(sys.__stdout__.fileno()).columns if sys.__stdout__ else 80) - 2
    except (OSError, ValueError):
        return 78


def _overview(words: list[str]) -> int:
    if words in (["--version"], ["-V"]):
        printing.show(f"knarr {__version__}")
        return 0
    shown = [verb for verb in VERBS if not verb.is_hidden]
    lines = ["knarr: Kubernetes for application developers", "", "usage: knarr VERB [OPTIONS]", ""]
    lines += [f"  {verb.word:<11} {verb.help}" for verb in shown]
    lines += ["", "knarr VERB --help shows a verb's options."]
    if words in ([], ["--help"], ["-h"], ["help"]):
        printing.show("\n".join(lines))
        return 0 if words else printing.EXIT_USAGE
    raise printing.Failure(
        f"knarr has no verb {words[0]!r}", _nearest(words[0], shown), "knarr --help lists them", printing.EXIT_USAGE
    )


def _nearest(word: str, verbs: Sequence[Verb]) -> str:
    import difflib  # only on the way out with an error

    near = difflib.get_close_matches(word, [verb.word for verb in verbs], n=1)
    return f"did you mean {near[0]!r}?" if near else ""
