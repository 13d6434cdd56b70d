"""Build caches in a directory: `--cache-from type=local,src=DIR` and `--cache-to type=local,dest=DIR`.

The directory is an OCI image layout, as BuildKit's is, with records of our own (builder/cache_exchange.py). The node
takes and gives them as it does caches in registries, under a name of this command, which goes when the build ends.
"""

import argparse
import contextlib
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlencode

from knarr.base.errors import Invalid, NotFound
from knarr.cli import build_results, build_values, node_client, transfer, whole_file
from knarr.cli.build_values import Cache
from knarr.cli.printing import Failure, say

LATEST = "latest"
_REF_NAME = "org.opencontainers.image.ref.name"
MANIFEST_BYTES_MAX = 4 * 1024 * 1024
_BLOB = re.compile(r"blobs/(?:sha256|sha512)/[0-9a-f]+", re.ASCII)


def sources(arguments: argparse.Namespace, stack: contextlib.ExitStack) -> list[str]:
    """The references of all sources, those in directories given to the node. One that is not there costs a warning, as
    a first build has none."""
    found = []
    for cache in build_values.cache_sources(arguments):
        if cache.kind == "local":
            try:
                entry = _entry(cache)
            except NotFound as error:
                say(f"warning: --cache-from: {error}")
                continue
            _load(arguments, cache, entry)
            stack.callback(_forget, arguments, cache)
        found.append(cache.reference)
    return found


def _entry(cache: Cache) -> dict[str, Any]:
    """The index's entry that is meant: that of the digest or the tag, else the latest, else the only one."""
    index = Path(cache.where, "index.json")
    try:
        listed: list[dict[str, Any]] = json.loads(index.read_bytes())["manifests"]
        tags = [str((entry.get("annotations") or {}).get(_REF_NAME, "")) for entry in listed]
        digests = [entry.get("digest") for entry in listed]
    except FileNotFoundError as error:
        raise NotFound(f"{cache.where} holds no build cache") from error
    except OSError as error:
        raise Invalid(f"--cache-from: {index} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Invalid(f"--cache-from: {index} is no index of an OCI layout") from error
    if cache.digest:
        chosen = [entry for entry, digest in zip(listed, digests, strict=True) if digest == cache.digest]
    else:
        chosen = [entry for entry, tag in zip(listed, tags, strict=True) if tag == (cache.tag or LATEST)]
    if not chosen and len(listed) == 1 and not (cache.digest or cache.tag):
        chosen = listed
    if not chosen:
        raise NotFound(f"{cache.where} holds no build cache {cache.digest or cache.tag or LATEST}")
    return chosen[0]


def _load(arguments: argparse.Namespace, cache: Cache, entry: dict[str, Any]) -> None:
    index = {"schemaVersion": 2, "manifests": [{**entry, "annotations": {_REF_NAME: cache.reference}}]}
    content = json.dumps(index).encode()
    try:
        blobs = _blobs(Path(cache.where), str(entry.get("digest", "")))
    except OSError as error:
        raise Invalid(f"--cache-from: {error.filename} cannot be read: {error.strerror}") from error

    def body(stream: BinaryIO) -> None:
        with tarfile.open(fileobj=stream, mode="w|") as archive:
            header = tarfile.TarInfo("index.json")
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
            for blob in blobs:
                archive.add(Path(cache.where, blob), blob)

    node_client.call(arguments, "POST", "/load", body).json()


def _blobs(root: Path, digest: str) -> list[str]:
    """Where the manifest and the blobs that it names lie below `root`: the directory may hold other caches too."""
    manifest = _place(digest)
    with (root / manifest).open("rb") as file:
        content = file.read(MANIFEST_BYTES_MAX + 1)
    try:
        document = json.loads(content if len(content) <= MANIFEST_BYTES_MAX else b"")
        named = [document["config"], *document["layers"]]
        places = [manifest, *(_place(str(descriptor["digest"])) for descriptor in named)]
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid(f"--cache-from: {root / manifest} is no manifest of a build cache") from error
    for place in places:
        (root / place).stat()
    return list(dict.fromkeys(places))


def _place(digest: str) -> str:
    place = f"blobs/{digest.replace(':', '/', 1)}"
    if not _BLOB.fullmatch(place):
        raise Invalid(f"--cache-from: {digest!r} is no digest")
    return place


def deliver(arguments: argparse.Namespace) -> None:
    """Push or write the caches that the build has made."""
    for cache in build_values.cache_targets(arguments):
        if cache.kind == "registry":
            transfer.push(arguments, cache.where)
        elif cache.kind == "local":
            try:
                _write(arguments, cache)
            finally:
                _forget(arguments, cache)


def _write(arguments: argparse.Namespace, cache: Cache) -> None:
    """Blobs first, the index last: a directory that has an index is whole. What others have in it stays."""
    answer = node_client.call(arguments, "GET", "/export?" + urlencode([("cache", cache.reference)]))
    texts: dict[str, bytes] = {}
    root = Path(cache.where)
    try:
        with tarfile.open(fileobj=build_results.Pieces(answer), mode="r|") as archive:
            for member in archive:
                source = archive.extractfile(member)
                assert source is not None
                if not _BLOB.fullmatch(member.name):
                    texts[member.name] = source.read()
                    continue
                place = root / member.name
                place.parent.mkdir(parents=True, exist_ok=True)
                if not place.exists():
                    with whole_file.written(place) as file:
                        while piece := source.read(1 << 20):
                            file.write(piece)
        for name, content in (("oci-layout", texts["oci-layout"]), ("index.json", _index(root, texts, cache))):
            with whole_file.written(root / name) as file:
                file.write(content)
    except OSError as error:
        why = error.strerror or str(error)
        raise Failure(f"the build cache was not written to {root}", why, "give another dest=DIRECTORY") from error


def _index(root: Path, texts: dict[str, bytes], cache: Cache) -> bytes:
    """The new cache under its tag, beside those of other tags."""
    tag = cache.tag or LATEST
    (entry,) = json.loads(texts["index.json"])["manifests"]
    kept: list[dict[str, Any]] = []
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):  # not ours to keep
        others = json.loads((root / "index.json").read_bytes())["manifests"]
        kept = [other for other in others if (other.get("annotations") or {}).get(_REF_NAME, "") != tag]
    return json.dumps({"schemaVersion": 2, "manifests": [*kept, {**entry, "annotations": {_REF_NAME: tag}}]}).encode()


def _forget(arguments: argparse.Namespace, cache: Cache) -> None:
    with contextlib.suppress(NotFound):
        node_client.call(arguments, "POST", "/remove", {"images": [cache.reference]}).json()
