"""A whole push and a whole pull of a 200 MB layer: knarr's client and stock clients, at knarr's registry and its peer.

Run: `.venv/bin/python -m bench.registry_clients [--size 200] [--rounds 3] [--peer PATH]`, as root. Every client meets
both registries in turn, each push a first one; the layer does not compress. What a client costs hides what a registry
costs, so the CPU of both is shown: on a machine that others load it is the figure to trust. The limit is one thread's:
sha256 of the layer, decompression, sha256 of what it holds. bench/images.py measures the registry without clients.
"""

import argparse
import asyncio
import hashlib
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from isal import isal_zlib

from bench import images
from knarr.images.image_store import ImageStore
from knarr.oci import manifest
from knarr.oci.digest import Digest
from knarr.oci.manifest import Descriptor, Index

IMAGE = "bench/tree:1"
_DECODED_PIECE = 128 << 10


@dataclass
class Measured:
    """Of one client at one registry: seconds, and seconds of CPU on both sides."""

    wall: list[float] = field(default_factory=list)
    client: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)

    def show(self, what: str, size: int) -> None:
        rates = [size / 1e6 / seconds for seconds in self.wall]
        client, server = statistics.median(self.client), statistics.median(self.server)
        images.show(what, rates, f"CPU: client {client:.2f} s, registry {server:.2f} s")


@dataclass(frozen=True)
class Act:
    """What a client does at a registry; `clean` makes it do all of it again."""

    run: Callable[[str], object]
    clean: Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=200, help="of the layer, in MB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", default=shutil.which("docker-registry") or "", help="docker-registry's program")
    arguments = parser.parse_args()
    size = arguments.size * 1_000_000
    with tempfile.TemporaryDirectory(prefix="b", dir="/var/tmp") as work:  # a disk; podman wants short paths
        directory = Path(work)
        peer = arguments.peer or images.fetched_peer(directory / "package")
        made(directory / "layout", size)  # skopeo's: what knarr pushed would be there already
        store, digest = made(directory / "maker", size)
        limit(store, digest, size, arguments.rounds)
        acts = clients(directory, store, digest)
        found: dict[str, Measured] = {}
        for number in range(arguments.rounds):
            for who in ("knarr", "docker-registry") if peer else ("knarr",):
                root = directory / f"{who}-{number}"
                with images.knarr_registry(root) if who == "knarr" else images.peer_registry(root, peer) as address:
                    for what, act in acts.items():
                        measure(found.setdefault(f"{what}, {who}", Measured()), address, act)
                shutil.rmtree(root)
        for what in sorted(found):
            found[what].show(what, size)


def made(directory: Path, size: int) -> tuple[ImageStore, Digest]:
    """A store with an image of its own; its directory is an OCI layout, too, for skopeo."""
    store = images.open_store(directory)
    tree = directory / "tree"
    tree.mkdir()
    (tree / "random").write_bytes(os.urandom(size))
    digest = images.make(store, tree)
    entry = Descriptor(media_type=manifest.OCI_MANIFEST, digest=digest, size=store.content.info(digest).size)
    index = Index(schema_version=2, media_type=manifest.OCI_INDEX, manifests=(entry,))
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (directory / "index.json").write_bytes(manifest.encode(index))
    return store, digest


def limit(store: ImageStore, digest: Digest, size: int, rounds: int) -> None:
    layer = store.image(digest).manifest.layers[0]
    body = store.content.path(layer.digest).read_bytes()

    def once() -> None:
        hashlib.sha256(body)
        codec, plain = isal_zlib.decompressobj(31), hashlib.sha256()
        for start in range(0, len(body), _DECODED_PIECE):
            plain.update(codec.decompress(body[start : start + _DECODED_PIECE]))

    images.report("limit: sha256 + gzip + sha256", size, once, rounds)


def clients(directory: Path, store: ImageStore, digest: Digest) -> dict[str, Act]:
    """In this order at each registry: the first pushes what the others pull."""
    podman = ["podman", "--root", f"{directory}/r", "--runroot", f"{directory}/n", "--storage-driver", "overlay"]
    pulled, copied = directory / "pulled", directory / "copied"
    to_podman = [*podman, "pull", "-q", "--tls-verify=false"]
    to_layout = ["skopeo", "copy", "-q", "--src-tls-verify=false"]
    from_layout = ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{directory}/layout"]

    def discard(path: Path) -> Callable[[], object]:
        return lambda: shutil.rmtree(path, ignore_errors=True)

    acts = {
        "knarr push": Act(lambda at: asyncio.run(images.push_made(store, digest, f"{at}/{IMAGE}")), lambda: None),
        "knarr pull": Act(lambda at: asyncio.run(images.pull(pulled, f"{at}/{IMAGE}")), discard(pulled)),
    }
    if shutil.which("skopeo"):
        acts["skopeo push"] = Act(lambda at: run(*from_layout, f"docker://{at}/other/tree:1"), lambda: None)
        acts["skopeo copy to oci"] = Act(
            lambda at: run(*to_layout, f"docker://{at}/{IMAGE}", f"oci:{copied}:1"), discard(copied)
        )
    if shutil.which("podman"):
        acts["podman pull"] = Act(lambda at: run(*to_podman, f"{at}/{IMAGE}"), lambda: run(*podman, "rmi", "-a", "-f"))
    return acts


def measure(found: Measured, address: str, act: Act) -> None:
    """One act, at rest before and cleaned up after."""
    os.sync()
    server, client, start = images.cpu_seconds(address), own_cpu(), time.perf_counter()
    act.run(address.replace("127.0.0.1", "localhost"))
    found.wall.append(time.perf_counter() - start)
    found.client.append(own_cpu() - client)
    found.server.append(images.cpu_seconds(address) - server)
    act.clean()


def own_cpu() -> float:
    """Of this process and of the commands that it ran."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
