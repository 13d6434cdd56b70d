"""What `knarr build` does with the result beside naming it: files with ids, archives, a directory, pushes."""

import argparse
import io
import json
import os
import stat
import sys
import tarfile
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlencode

from knarr.base.errors import Invalid
from knarr.cli import build_values, node_client, transfer, whole_file
from knarr.cli.printing import EXIT_USAGE, Failure

_PIECE = 1 << 20


def deliver(arguments: argparse.Namespace, built: dict[str, Any]) -> None:
    """Everything that the flags ask for, in their order."""
    if arguments.iidfile:
        _write(Path(arguments.iidfile), built["id"].encode())
    if arguments.metadata_file:
        _write(Path(arguments.metadata_file), json.dumps(_metadata(built), indent=2).encode() + b"\n")
    parsed = build_values.outputs(arguments.output)
    for output in parsed:
        _put(arguments, built, output)
    is_pushed = arguments.push or any(o["type"] == "registry" or o.get("push") == "true" for o in parsed)
    names = [*built["names"], *(output["name"] for output in parsed if output.get("name"))]
    if is_pushed and not names:
        raise Failure("there is nothing to push", "the image has no name", "give it one with -t", EXIT_USAGE)
    for name in names if is_pushed else []:
        transfer.push(arguments, name)
    if arguments.cache_to:
        from knarr.cli import build_caches  # which reads tars as this file does

        build_caches.deliver(arguments)


def _metadata(built: dict[str, Any]) -> dict[str, Any]:
    """As buildx writes it."""
    found = {"containerimage.digest": built["digest"], "containerimage.config.digest": built["id"]}
    return {**found, "image.name": ",".join(built["names"])} if built["names"] else found


def _put(arguments: argparse.Namespace, built: dict[str, Any], output: dict[str, str]) -> None:
    kind = output["type"]
    if kind not in ("local", "tar", "oci", "docker"):
        return
    names = [output["name"]] if output.get("name") else built["names"]
    query = [("digest", built["digest"]), ("type", "tree" if kind in ("local", "tar") else "archive")]
    answer = node_client.call(arguments, "GET", "/export?" + urlencode(query + [("name", name) for name in names]))
    if kind == "local" or output.get("tar") == "false":
        extract(Pieces(answer), Path(output["dest"]))
    elif output["dest"] == "-":
        if sys.stdout.isatty():
            answer.close()
            raise Failure("an archive is not for a terminal", "its bytes would garble it", "give dest=FILE", EXIT_USAGE)
        for piece in answer.pieces():
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    else:
        _stream(answer, Path(output["dest"]))


def _stream(answer: node_client.Answer, target: Path) -> None:
    with whole_file.written(target) as file:
        for piece in answer.pieces():
            file.write(piece)


def extract(stream: io.RawIOBase | BinaryIO, target: Path) -> None:
    """Write the tree below `target`, as the user's own files; device nodes are left out.

    The names come from a directory walk, so none leads out; links that stand at the target already are not followed.
    """
    target.mkdir(parents=True, exist_ok=True)
    times: list[tuple[Path, tarfile.TarInfo]] = []
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            place = _inside(target, member.name)
            if member.isdir():
                if place.is_symlink() or (place.exists() and not place.is_dir()):
                    place.unlink()
                place.mkdir(exist_ok=True)
                times.append((place, member))
                continue
            if not (member.isreg() or member.issym() or member.islnk()):
                continue
            if place.is_symlink() or place.is_file():
                place.unlink()
            if member.issym():
                place.symlink_to(member.linkname)
            elif member.islnk():
                os.link(_inside(target, member.linkname), place, follow_symlinks=False)
            else:
                _file(archive, member, place)
    for place, member in reversed(times):
        place.chmod(stat.S_IMODE(member.mode) | stat.S_IRWXU)
        os.utime(place, (member.mtime, member.mtime))


def _inside(target: Path, name: str) -> Path:
    parts = name.split("/")
    place = target
    for number, part in enumerate(parts):
        if part in ("", ".", ".."):
            raise Invalid(f"the tree holds the path {name!r}")
        place = place / part
        if number < len(parts) - 1 and place.is_symlink():
            raise Invalid(f"{place} is a link; refusing to write through it")
    return place


def _file(archive: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    source = archive.extractfile(member)
    assert source is not None
    with open(place, "xb") as file:
        while piece := source.read(_PIECE):
            file.write(piece)
        os.fchmod(file.fileno(), stat.S_IMODE(member.mode) & 0o777)
    os.utime(place, (member.mtime, member.mtime))


class Pieces(io.RawIOBase):
    """An answer as a stream to read."""

    def __init__(self, answer: node_client.Answer) -> None:
        super().__init__()
        self._pieces = answer.pieces()
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """tarfile reads by ten kilobytes: what is left of a piece is kept where it is, not copied each time."""
        found: list[memoryview] = []
        left = sys.maxsize if size < 0 else size
        while left and (self._rest or self._next()):
            found.append(self._rest[:left])
            left -= len(found[-1])
            self._rest = self._rest[len(found[-1]) :]
        return b"".join(found)

    def _next(self) -> bool:
        self._rest = memoryview(next(self._pieces, b""))
        return bool(self._rest)


def _write(path: Path, content: bytes) -> None:
    with whole_file.written(path) as file:
        file.write(content)
