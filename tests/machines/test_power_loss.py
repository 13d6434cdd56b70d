"""The power goes while a whole cluster works on a disk that forgets what was not flushed; then the machine boots.

Every round: the disk as a loss at some moment left it (recorded_disk.py), `knarr up` on it, and everything that was
acknowledged before that moment is there, of the API and of the registry; the pods run again. Opt-in: KNARR_DISK_LOSSES
is the count of rounds, some 10 s each. Root, FUSE and loop devices are needed.
"""

import contextlib
import http.client
import itertools
import json
import os
import random
import shutil
import ssl
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml

from knarr.oci import digest as digests
from tests.e2e import reboot
from tests.e2e.cluster import Cluster
from tests.machines.recorded_disk import PROGRAMS, RecordedDisk, entries

ROUNDS = int(os.environ.get("KNARR_DISK_LOSSES", "0"))
SEED = int(os.environ.get("KNARR_SEED", "1"))
WRITING_SECONDS = 20.0
FORGOTTEN = 400
"""Acts that a lying disk forgets: several acknowledged writes."""
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
lacking = [program for program in PROGRAMS if shutil.which(program) is None]
pytestmark = [
    pytest.mark.skipif(not ROUNDS, reason="KNARR_DISK_LOSSES is not set"),
    pytest.mark.skipif(bool(lacking), reason=f"not installed: {lacking}"),
    pytest.mark.timeout(3600),
]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """At that offset of the disk's log: a ConfigMap's value (None: deleted), or the manifest of a tag."""

    at: int
    kind: str
    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Recording:
    disk: RecordedDisk
    cluster: Cluster
    acknowledged: list[Acknowledged]


@contextlib.contextmanager
def api(cluster: Cluster) -> Iterator[http.client.HTTPSConnection]:
    found = yaml.safe_load((cluster.directory / "kubeconfig").read_text())
    authority, user = found["clusters"][0]["cluster"], found["users"][0]["user"]
    context = ssl.create_default_context(cadata=b64decode(authority["certificate-authority-data"]).decode())
    pair = cluster.directory / "pair.pem"
    pair.write_bytes(b64decode(user["client-certificate-data"]) + b64decode(user["client-key-data"]))
    context.load_cert_chain(pair)
    address = ("127.0.0.1", cluster.ports["port"])
    with contextlib.closing(http.client.HTTPSConnection(*address, context=context, timeout=60)) as connection:
        yield connection


def asked(connection: http.client.HTTPConnection, verb: str, path: str, body: bytes = b"", kind: str = "") -> str:
    """The body of the answer, or where an upload goes on."""
    connection.request(verb, path, body, {"Content-Type": kind or "application/json"})
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.status < 300, (verb, path, answer.status, text[:300])
    return answer.getheader("Location") or text


def write_objects(cluster: Cluster, disk: RecordedDisk, told: list[Acknowledged], end: float) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    with api(cluster) as connection:
        for number in itertools.count():
            name = f"c{number}"
            for verb, value in (("POST", "1"), ("PUT", "2"), ("DELETE", None))[: 3 if number % 3 == 0 else 2]:
                if time.monotonic() > end:
                    return
                body = json.dumps({"metadata": {"name": name}, "data": {"v": value}}).encode() if value else b""
                asked(connection, verb, path if verb == "POST" else f"{path}/{name}", body)
                told.append(Acknowledged(disk.written(), "object", name, value))


def write_images(cluster: Cluster, disk: RecordedDisk, told: list[Acknowledged], end: float) -> None:
    draw = random.Random(SEED)
    registry = http.client.HTTPConnection("127.0.0.1", cluster.ports["registry-port"], timeout=60)
    with contextlib.closing(registry) as connection:
        for number in itertools.count():
            if time.monotonic() > end:
                return
            body = push(connection, f"t{number}", draw)
            told.append(Acknowledged(disk.written(), "tag", f"t{number}", digests.of(body)))


def push(connection: http.client.HTTPConnection, tag: str, draw: random.Random) -> bytes:
    """A manifest of two new blobs under that tag."""
    described = []
    for kind, size in (("config.v1+json", draw.randrange(2, 300)), ("layer.v1.tar", draw.randrange(2, 400_000))):
        blob = b'{"x":"%s"}' % draw.randbytes(size).hex().encode()
        place = asked(connection, "POST", "/v2/loss/blobs/uploads/")
        mark = "&" if "?" in place else "?"
        asked(connection, "PUT", f"{place}{mark}digest={digests.of(blob)}", blob, "application/octet-stream")
        media_type = f"application/vnd.oci.image.{kind}"
        described.append({"mediaType": media_type, "digest": digests.of(blob), "size": len(blob)})
    config, layer = described
    body = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}).encode()
    asked(connection, "PUT", f"/v2/loss/manifests/{tag}", body, MANIFEST)
    return body


def missing(recording: Recording, moment: int) -> list[Acknowledged]:
    """What was acknowledged before the moment and is not there now, or torn."""
    path = "/api/v1/namespaces/default/configmaps"
    with api(recording.cluster) as connection:
        listed = json.loads(asked(connection, "GET", path))["items"]
    values = {item["metadata"]["name"]: item.get("data", {}).get("v") for item in listed}
    before = [each for each in recording.acknowledged if each.at <= moment]
    objects = {each.name: each for each in before if each.kind == "object"}
    lost = [each for each in objects.values() if not _may_be(each, values.get(each.name))]
    registry = f"http://127.0.0.1:{recording.cluster.ports['registry-port']}/v2/loss"
    return lost + [each for each in before if each.kind == "tag" and not _is_whole(registry, each)]


def _may_be(told: Acknowledged, value: str | None) -> bool:
    """The acknowledged value, or what was asked for after it and not yet acknowledged: of every third, the deletion."""
    follow = {"1": ["1", "2"], "2": ["2"], None: [None]}[told.value]
    is_deleted_soon = told.value == "2" and int(told.name[1:]) % 3 == 0 and value is None
    return value in follow or is_deleted_soon


def _is_whole(registry: str, told: Acknowledged) -> bool:
    try:
        body = fetched(f"{registry}/manifests/{told.name}")
        parts = [json.loads(body)["config"], *json.loads(body)["layers"]]
        blobs = {part["digest"]: fetched(f"{registry}/blobs/{part['digest']}") for part in parts}
    except (OSError, http.client.HTTPException):
        return False
    return digests.of(body) == told.value and all(digests.of(blob) == name for name, blob in blobs.items())


def fetched(url: str) -> bytes:
    with urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    """A cluster with a Deployment, written to for a while until the power went."""
    ports = {"port": 28443, "registry-port": 28500, "kubelet-port": 28250}
    cluster = Cluster("kn-loss", tmp_path_factory.mktemp("cluster"), ports, "10.239.0.0/16")
    disk = RecordedDisk(tmp_path_factory.mktemp("disk"), cluster.data_dir)
    told: list[Acknowledged] = []
    try:
        disk.attach()
        (disk.mount / "lost+found").rmdir()  # else it is no empty directory of state
        cluster.up()
        image = f"{cluster.registry}/base:1"
        context = cluster.context(
            Dockerfile='FROM scratch\nCOPY busybox /busybox\nCMD ["/busybox", "sleep", "100000"]\n'
        )
        cluster.ok(cluster.knarr("build", "-t", image, str(context)))
        cluster.ok(cluster.kubectl("create", "deployment", "web", f"--image={image}", "--replicas=2"))
        cluster.ok(cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s"))
        end = time.monotonic() + WRITING_SECONDS
        writers = [threading.Thread(target=do, args=(cluster, disk, told, end)) for do in (write_objects, write_images)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        reboot.crash(cluster)
        reboot.forget(cluster)
        disk.detach()
        yield Recording(disk, cluster, sorted(told, key=lambda each: each.at))
    finally:
        cluster.knarr("delete", "--yes")
        disk.detach()
        shutil.rmtree(disk.mount, ignore_errors=True)


def be_another_boot(state: Path) -> None:
    """The kernel goes on here, and after a loss of power its boot id would not be the one that the state names."""
    settled = state / "images" / "settled.json"
    now = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    if settled.exists():
        settled.write_text(settled.read_text().replace(now, "0" * len(now)))


def boot(recording: Recording, moment: int, kept: float, seed: int, forgets_flushes: int = 0) -> list[Acknowledged]:
    """What is missing after the machine came back; it crashes again at the end."""
    cluster, disk = recording.cluster, recording.disk
    image, lost = disk.after_power_loss(moment, kept, seed, forgets_flushes=forgets_flushes)
    disk.attach_file(image)
    try:
        be_another_boot(disk.mount)
        cluster.up()
        found = missing(recording, moment)
        if not forgets_flushes:
            waited = cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
            assert waited.code == 0, cluster.kubectl("describe", "pods").out
        print(f"seed {seed}: {lost} writes lost, {len(found)} acknowledged ones missing")
        return found
    finally:
        try:
            reboot.crash(cluster)
            reboot.forget(cluster)
        finally:
            disk.unmount()


def test_nothing_acknowledged_is_lost_and_the_pods_run_again(recording: Recording) -> None:
    first, last = recording.acknowledged[0].at, recording.acknowledged[-1].at
    moments = recording.disk.moments(first, last)
    for seed in range(SEED, SEED + ROUNDS):
        draw = random.Random(seed)
        moment, kept = draw.choice(moments), draw.choice((0.0, 0.5, 0.9))
        assert boot(recording, moment, kept, seed) == [], f"KNARR_SEED={seed} repeats it"


def test_a_disk_that_lies_about_flushes_is_found_out(recording: Recording) -> None:
    last = list(entries(recording.disk.log, recording.acknowledged[-1].at))[-1].start
    assert boot(recording, last, 0.9, SEED, FORGOTTEN)
