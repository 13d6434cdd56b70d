"""Images beside their peers: push and pull of a large layer at the registry, and pulling into a runnable snapshot.

Run: `.venv/bin/python -m bench.images [--size 200] [--rounds 5]`, as root. It serves knarr's registry in a process
of its own on a free port, and docker-registry (Debian's package: installed, fetched by apt-get, or --peer PATH) beside
it; the two take turns, round by round. curl pushes and pulls; "read" is a client that does nothing but receive, because
curl's own 2 GB/s would hide the servers. Yardsticks of the same run: sha256 of the layer, gzip decompression and both
one after the other (the limit that issue 6 names), writing it with fsync, tar's extraction.
"""

import argparse
import asyncio
import contextlib
import hashlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from isal import isal_zlib

from knarr.images import layer_diff
from knarr.images.content import add
from knarr.images.image_store import ImageStore
from knarr.images.local_content import LocalContent
from knarr.images.names import Names
from knarr.images.overlay import OverlaySnapshots
from knarr.images.pull import Puller
from knarr.images.push import Pusher
from knarr.images.unpack import unpack
from knarr.oci import image_config, manifest
from knarr.oci import reference as references
from knarr.oci.digest import Digest
from knarr.oci.image_config import ImageConfig, RootFs
from knarr.oci.manifest import Descriptor, Manifest
from knarr.wire.http_client import Client

SERVER = """
import asyncio, sys
from pathlib import Path
from knarr.images.local_content import LocalContent
from knarr.images.names import Names
from knarr.registry.service import Registry
from knarr.wire.http_server import Limits, Server

async def main():
    registry = Registry(LocalContent(Path(sys.argv[1])), Names(), "localhost:" + sys.argv[2])
    await Server(registry.handler, limits=Limits(body_bytes=None)).listen_tcp("127.0.0.1", int(sys.argv[2]))
    await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""
PEER = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=200, help="of the layer, in MB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", default=shutil.which("docker-registry") or "", help="docker-registry's program")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="knarr-bench-", dir="/var/tmp") as work:  # a disk, not tmpfs
        directory = Path(work)
        layer = directory / "layer"
        layer.write_bytes(os.urandom(arguments.size * 1_000_000))
        yardsticks(layer, arguments.rounds)
        peer = arguments.peer or fetched_peer(directory / "package")
        with knarr_registry(directory / "knarr") as address, contextlib.ExitStack() as stack:
            servers = {"knarr": address}
            if peer:
                servers["docker-registry"] = stack.enter_context(peer_registry(directory / "peer", peer))
            else:
                print("docker-registry is neither installed nor to be fetched; no peer in this run")
            transfers(servers, layer, arguments.rounds)
            pulling(directory, address, arguments.rounds)
        unpacking(directory, arguments.rounds)


def yardsticks(layer: Path, rounds: int) -> None:
    body = layer.read_bytes()
    report("sha256 of the layer, one thread", len(body), lambda: hashlib.sha256(body), rounds)
    packed = isal_zlib.compress(body, 1)
    report("gzip decompression by isal", len(body), lambda: isal_zlib.decompress(packed), rounds)
    report("sha256, then gzip decompression", len(body), lambda: hashlib.sha256(isal_zlib.decompress(packed)), rounds)

    def write() -> None:
        with open(layer.with_suffix(".copy"), "wb") as file:
            file.write(body)
            os.fsync(file.fileno())

    report("write with fsync", len(body), write, rounds)
    layer.with_suffix(".copy").unlink()


def transfers(servers: dict[str, str], layer: Path, rounds: int) -> None:
    """Push, pull by curl, and read, by all servers in turn; each push is a first one. Rates, and the server's CPU."""
    with open(layer, "rb") as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    size = layer.stat().st_size
    acts: dict[str, Callable[[str], object]] = {
        "push": lambda address: push_layer(address, layer, digest),
        "pull": lambda address: curl("-o", "/dev/null", f"http://{address}/v2/bench/blobs/{digest}"),
        "read": lambda address: receive(address, digest),
    }
    for what, act in acts.items():
        rates: dict[str, list[float]] = {who: [] for who in servers}
        cpu = dict.fromkeys(servers, 0.0)
        for _ in range(rounds):
            for who, address in servers.items():
                if what == "push":
                    curl("-X", "DELETE", f"http://{address}/v2/bench/blobs/{digest}", check=False)
                before, start = cpu_seconds(address), time.perf_counter()
                act(address)
                rates[who].append(size / 1e6 / (time.perf_counter() - start))
                cpu[who] += cpu_seconds(address) - before
        for who in servers:
            show(f"{who}: {what}", rates[who], f"server CPU {1e3 * cpu[who] / rounds / (size / 1e9):.0f} ms/GB")


def push_layer(address: str, layer: Path, digest: str) -> None:
    """Two requests, as clients make them."""
    headers = curl("-D", "-", "-o", "/dev/null", "-X", "POST", f"http://{address}/v2/bench/blobs/uploads/")
    location = next(line for line in headers.splitlines() if line.lower().startswith("location:")).split(None, 1)[1]
    target = location if "://" in location else f"http://{address}{location}"
    joint = "&" if "?" in target else "?"
    kind = "Content-Type: application/octet-stream"
    curl("-T", str(layer), "-H", "Expect:", "-H", kind, f"{target}{joint}digest={digest}")


def receive(address: str, digest: str) -> None:
    host, _, port = address.partition(":")
    head = f"GET /v2/bench/blobs/{digest} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    buffer = bytearray(1 << 20)
    with socket.create_connection((host, int(port))) as connected:
        connected.sendall(head.encode())
        while connected.recv_into(buffer):
            pass


def cpu_seconds(address: str) -> float:
    """User and system time of the process that listens there."""
    listening = subprocess.run(
        ["ss", "-ltnpH", f"sport = :{address.rpartition(':')[2]}"], check=True, capture_output=True, text=True
    ).stdout
    pid = listening.partition("pid=")[2].partition(",")[0]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pulling(directory: Path, address: str, rounds: int) -> None:
    """From the registry into a file system that can run: knarr's puller, and podman's with its own overlay storage."""
    domain = address.replace("127.0.0.1", "localhost")
    name = f"{domain}/bench/tree:1"
    tree = directory / "image"
    tree.mkdir()
    lines = b"".join(b"a line of text that repeats with a number %d\n" % number for number in range(200_000))
    for number in range(20):
        (tree / f"text-{number}").write_bytes(lines[number:])
    (tree / "random").write_bytes(os.urandom(50_000_000))
    size = sum(path.stat().st_size for path in tree.iterdir())
    asyncio.run(push(directory / "maker", tree, name))
    report("knarr: pull and unpack an image", size, lambda: asyncio.run(pull(directory / "puller", name)), rounds)
    if shutil.which("podman") is None:
        return
    with tempfile.TemporaryDirectory(prefix="p", dir="/var/tmp") as root:
        podman = ["podman", "--root", f"{root}/r", "--runroot", f"{root}/n", "--storage-driver", "overlay"]
        fetch = [*podman, "pull", "-q", "--tls-verify=false", name]
        remove = [*podman, "rmi", "-f", name]
        silent = {"check": True, "stdout": subprocess.DEVNULL}
        subprocess.run([*podman, "images"], **silent)
        report(
            "podman: pull it", size, lambda: subprocess.run(fetch, **silent), rounds,
            after=lambda: subprocess.run(remove, **silent),
        )  # fmt: skip
        subprocess.run([*podman, "system", "reset", "-f"], **silent, stderr=subprocess.DEVNULL)


def open_store(directory: Path) -> ImageStore:
    return ImageStore(LocalContent(directory), Names(), OverlaySnapshots(directory))


async def push(directory: Path, tree: Path, name: str) -> None:
    """Make an image of one layer and push it."""
    store = open_store(directory)
    await push_made(store, make(store, tree), name)


async def push_made(store: ImageStore, digest: Digest, name: str) -> None:
    store.add(references.parse(name), digest, "built")
    client = Client()
    await Pusher(store, client).push(references.parse(name))
    await client.close()


def make(store: ImageStore, tree: Path) -> Digest:
    """An image whose one layer is the tree."""
    layer = layer_diff.pack(tree, store.content)
    platform = store.platform
    config = add(
        store.content,
        image_config.encode(ImageConfig(architecture=platform.architecture, rootfs=RootFs(diff_ids=(layer.diff_id,)))),
    )
    described = Descriptor(media_type=manifest.OCI_CONFIG, digest=config.digest, size=config.size)
    image = Manifest(schema_version=2, media_type=manifest.OCI_MANIFEST, config=described, layers=(layer.descriptor,))
    return store.put(image)


async def pull(directory: Path, name: str) -> None:
    """Pull into a fresh store."""
    shutil.rmtree(directory, ignore_errors=True)
    client = Client()
    await Puller(open_store(directory), client).pull(references.parse(name))
    await client.close()


def unpacking(directory: Path, rounds: int) -> None:
    """An application's tree: a few large files and 4,000 small ones."""
    tree = directory / "tree"
    for number in range(40):
        (tree / f"package-{number}").mkdir(parents=True)
        for part in range(100):
            (tree / f"package-{number}" / f"module-{part}.py").write_bytes(b"value = %d\n" % part * 200)
        (tree / f"package-{number}" / "native.so").write_bytes(os.urandom(500_000) + bytes(500_000))
    content = LocalContent(directory / "content")
    layers = []
    size = sum(path.stat().st_size for path in tree.rglob("*"))
    report("knarr: pack a tree of 4,040 files", size, lambda: layers.append(layer_diff.pack(tree, content)), rounds)
    blob = content.path(layers[0].descriptor.digest)
    target = directory / "target"

    def clear() -> None:
        shutil.rmtree(target)

    def fresh() -> Path:
        target.mkdir()
        return target

    report("knarr: unpack it, checked", size, lambda: unpack(blob, fresh()), rounds, after=clear)
    tar = ["tar", "-xzf", str(blob), "-C", str(target)]
    report("tar -xzf", size, lambda: subprocess.run([*tar[:4], str(fresh())], check=True), rounds, after=clear)


def report(
    what: str, size: int, act: Callable[[], object], rounds: int, after: Callable[[], object] | None = None
) -> None:
    rates = []
    for _ in range(rounds):
        start = time.perf_counter()
        act()
        rates.append(size / 1e6 / (time.perf_counter() - start))
        if after is not None:
            after()
    show(what, rates)


def show(what: str, rates: list[float], more: str = "") -> None:
    middle, least, most = statistics.median(rates), min(rates), max(rates)
    print(f"{what:<40} {middle:8.0f} MB/s  ({least:.0f}…{most:.0f}, n={len(rates)})  {more}".rstrip(), flush=True)


def curl(*words: str, check: bool = True) -> str:
    return subprocess.run(["curl", "-sf", *words], check=check, capture_output=True, text=True, timeout=120).stdout


def fetched_peer(place: Path) -> str:
    """docker-registry out of Debian's package, without installing it; "" where that cannot be."""
    place.mkdir()
    for command in (["apt-get", "download", "docker-registry"], ["sh", "-c", "dpkg -x docker-registry_*.deb ."]):
        with contextlib.suppress(OSError):
            subprocess.run(command, cwd=place, check=False, capture_output=True, timeout=120)
    program = place / "usr" / "bin" / "docker-registry"
    return str(program) if program.exists() else ""


@contextlib.contextmanager
def knarr_registry(root: Path) -> Iterator[str]:
    port = free_port()
    with serving([sys.executable, "-c", SERVER, str(root), str(port)], port) as address:
        yield address


@contextlib.contextmanager
def peer_registry(root: Path, program: str) -> Iterator[str]:
    port = free_port()
    configuration = root.with_suffix(".yml")
    configuration.write_text(PEER.format(root=root, port=port))
    with serving([program, "serve", str(configuration)], port) as address:
        yield address


@contextlib.contextmanager
def serving(command: list[str], port: int) -> Iterator[str]:
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


if __name__ == "__main__":
    main()
