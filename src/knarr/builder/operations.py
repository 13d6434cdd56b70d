"""What a build does to a file system, as values: Run, CopyFiles, MakeDirectory. Everything is expanded.

evaluate.py makes them from instructions, cache_keys.py names their results, steps/ carries them out.
"""

from dataclasses import dataclass
from typing import Literal

from knarr.builder.dockerfile.instructions import RunMount

Network = Literal["default", "none", "host"]


@dataclass(frozen=True, slots=True)
class CopyFiles:
    """`from_` is "" for the build context. `target` is absolute; a trailing slash says directory.

    `inline` are here-documents as (name, content). `unpacks`: local archives of ADD are unpacked.
    """

    from_: str
    sources: tuple[str, ...]
    target: str
    inline: tuple[tuple[str, str], ...] = ()
    chown: str = ""
    chmod: str = ""
    exclude: tuple[str, ...] = ()
    keeps_parents: bool = False
    unpacks: bool = False
    unpacks_downloads: bool = False
    is_add: bool = False
    checksum: str = ""
    keeps_git: bool = False


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """WORKDIR's directory, with its parents; an existing one stays as it is."""

    path: str


@dataclass(frozen=True, slots=True)
class Run:
    """`hidden_env` are proxy arguments: the process sees them, cache keys and history do not.

    `script` is a here-document with its own interpreter line; it stands at SCRIPT_PATH.
    """

    arguments: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str
    hidden_env: tuple[str, ...] = ()
    mounts: tuple[RunMount, ...] = ()
    network: Network = "default"
    is_insecure: bool = False
    script: str = ""


SCRIPT_PATH = "/dev/pipes/f0"
Operation = Run | CopyFiles | MakeDirectory
