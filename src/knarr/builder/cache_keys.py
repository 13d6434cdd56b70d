"""Names of results: what a step makes is found again by what goes into it, never by time stamps. Pure.

A file system's *state* is the chain id of its layers; a step that added nothing gives a new state of its own, so that
the same RUN twice runs twice. Secrets and proxy arguments are no part of a key, as their values may not matter.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence

from knarr.builder.operations import CopyFiles, MakeDirectory, Run
from knarr.builder.trees import Pick, Tree

VERSION = 1
"""Raise it when the same key would mean another result."""


def key_of(*parts: object) -> str:
    """One key for values that JSON can hold."""
    return hashlib.sha256(json.dumps([VERSION, *parts], separators=(",", ":")).encode()).hexdigest()


def state_after(chain_id: str, step_key: str, *, is_empty: bool) -> str:
    return key_of("state", step_key) if is_empty else chain_id


def run_key(state: str, run: Run, mounted: Sequence[str], around: object) -> str:
    """`mounted` are the states or contents of what mounts show, in their order; `around` what the request says."""
    mounts = [[mount.type, sorted(mount.options.items())] for mount in run.mounts]
    what = [run.arguments, run.env, run.cwd, run.user, mounts, run.network, run.is_insecure, run.script]
    return key_of("run", state, what, list(mounted), around)


def copy_key(state: str, copy: CopyFiles, content: str, times: object) -> str:
    """`content` is content_key of what the sources mean."""
    inline = [[name, text] for name, text in copy.inline]
    what = [copy.target, copy.chown, copy.chmod, copy.keeps_parents, copy.unpacks, copy.unpacks_downloads, inline]
    return key_of("copy", state, what, content, times)


def directory_key(state: str, directory: MakeDirectory, times: object) -> str:
    return key_of("directory", state, directory.path, times)


def content_key(tree: Tree, picks: Iterable[Pick]) -> str:
    """Names, kinds, modes, owners, attributes and content of the picks; not their times."""
    parts = []
    for pick in picks:
        entry = pick.entry
        content = tree.digest(pick.path) if entry.kind == "file" else entry.link
        part = [pick.place, pick.is_source, entry.kind, entry.mode, entry.uid, entry.gid, content]
        xattrs = tree.xattrs(pick.path) if entry.kind == "file" else ()
        parts.append([*part, [[name, value.hex()] for name, value in xattrs]] if xattrs else part)
    return key_of("content", parts)


def selection_key(state: str, copy: CopyFiles) -> str:
    """Where the content of a selection from a file system is remembered: that file system never changes."""
    return key_of("selection with attributes", state, copy.sources, copy.exclude, copy.keeps_parents)
