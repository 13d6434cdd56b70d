"""The power goes at any moment of many pushes: what is visible is whole, and what was acknowledged is there.

A registry runs under strace; from the trace, disks are made as a power loss may leave them (power_loss.py). The last
tests take fsyncs out of the trace: then the judge must find what is wrong.
"""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable

import pytest

from tests.conformance.power_loss import Act, Disk, Recorded, record

pytestmark = [
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
    pytest.mark.timeout(240 if "KNARR_POWER_LOSSES" not in os.environ else 3600),  # recording may take 120 s
]
IMAGES = int(os.environ.get("KNARR_POWER_LOSSES", "2000"))
PUSHES = """
import asyncio, hashlib, json, os, random, sys
from pathlib import Path
from knarr.images.local_content import LocalContent
from knarr.images.names import Names
from knarr.registry.service import Registry
from knarr.wire.http import Request

root = Path(sys.argv[1])
registry = Registry(LocalContent(root), Names(root / "names.json"), "localhost:5000")
host = (("host", "localhost:5000"),)
kind = "application/vnd.oci.image.manifest.v1+json"

def told(**fields):
    os.write(1, json.dumps(fields).encode() + b"\\n")

async def ask(method, path, query="", body=b"", headers=()):
    answer = await registry.handler(Request(method, path, query, (*host, *headers), body))
    assert answer.status == 201, answer

async def blob(repository, body):
    digest = "sha256:" + hashlib.sha256(body).hexdigest()
    await ask("POST", f"/v2/{repository}/blobs/uploads/", f"digest={digest}", body)
    told(blob=digest)
    return {"digest": digest, "size": len(body), "mediaType": "application/vnd.oci.image.layer.v1.tar"}

async def pushes(repository):
    chance = random.Random(7)
    for turn in range(8):  # every repository pushes the same blobs at the same time, and moves its tag
        layer = await blob(repository, chance.randbytes(3000))
        config = await blob(repository, b"{}" + b" " * turn)
        image = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer],
                 "annotations": {"turn": repository + str(turn)}}
        body = json.dumps(image).encode()
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        told(wanted=digest, name=f"localhost:5000/{repository}:1")
        await ask("PUT", f"/v2/{repository}/manifests/1", "", body, (("content-type", kind),))
        told(named=digest, name=f"localhost:5000/{repository}:1")

async def main():
    await asyncio.gather(*(pushes(f"web{number}") for number in range(3)))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    directory = tmp_path_factory.mktemp("power")
    trace, root = directory / "trace", directory / "store"
    return record(trace, root, PUSHES, root)


def faults(recorded: Recorded, losses: int, kept: Callable[[Act], bool] = lambda _: True) -> set[str]:
    """What is wrong after so many losses of power, with the acts that are kept."""
    chance = random.Random(1)
    acts = [act for act in recorded.acts if kept(act)]
    moments = sorted(chance.randrange(len(acts) + 1) for _ in range(losses))
    disk, promised, found = Disk(recorded.root), Promised(), set[str]()
    done = 0
    for moment in moments:
        for act in acts[done:moment]:
            if act.call == "write" and act.descriptor == 1:
                promised.hear(json.loads(act.body))
            else:
                disk.apply(act)
        done = moment
        found |= set(promised.broken(disk.after_power_loss(chance), recorded.root))
    return found


class Promised:
    """What the clients were told."""

    def __init__(self) -> None:
        self.blobs: set[str] = set()
        self.wanted: dict[str, list[str]] = {}
        self.named: dict[str, str] = {}

    def hear(self, said: dict[str, str]) -> None:
        if "blob" in said:
            self.blobs.add(said["blob"])
        elif "wanted" in said:
            self.wanted.setdefault(said["name"], []).append(said["wanted"])
        else:
            self.named[said["name"]] = said["named"]

    def broken(self, files: dict[str, bytes], root: str) -> list[str]:
        blobs = {
            f"sha256:{path.rpartition('/')[2]}": body
            for path, body in files.items()
            if path.startswith(f"{root}/blobs/sha256/")
        }
        found = [f"torn: {d}" for d, body in blobs.items() if f"sha256:{hashlib.sha256(body).hexdigest()}" != d]
        found += [f"lost blob: {digest}" for digest in self.blobs - set(blobs)]
        try:
            names = {each["reference"]: each["digest"] for each in json.loads(files.get(f"{root}/names.json", b"[]"))}
        except ValueError:
            return [*found, "torn: names.json"]
        for reference, digest in names.items():
            if digest not in blobs:
                found.append(f"name without manifest: {reference}")
                continue
            if found:
                continue
            image = json.loads(blobs[digest])
            parts = [image["config"], *image["layers"]]
            found += [f"manifest without blob: {reference}" for part in parts if part["digest"] not in blobs]
        for reference, digest in self.named.items():
            wanted = self.wanted[reference]
            if names.get(reference) not in wanted[wanted.index(digest) :]:
                found.append(f"lost name: {reference}")
        return found


def test_what_is_visible_is_whole_and_what_was_acknowledged_is_there(recorded: Recorded) -> None:
    assert {act.call for act in recorded.acts} >= {"write", "fsync", "rename"}
    assert faults(recorded, IMAGES) == set()


def is_below(act: Act, folder: str) -> bool:
    return act.call == "fsync" and act.paths[0].rstrip("/").endswith(folder)


@pytest.mark.parametrize(
    ("left_out", "fault"),
    [
        (lambda act: act.call == "fsync" and "/ingest/" in act.paths[0], "torn: sha256"),
        (lambda act: act.call == "fsync" and act.paths[0].endswith("names.json.tmp"), "torn: names.json"),
        (lambda act: is_below(act, "/blobs/sha256"), "lost blob"),
        (lambda act: is_below(act, "/blobs/sha256"), "name without manifest"),
        (lambda act: is_below(act, "/store"), "lost name"),
    ],
)
def test_the_judge_sees_a_missing_fsync(recorded: Recorded, left_out: Callable[[Act], bool], fault: str) -> None:
    found = faults(recorded, 500, lambda act: not left_out(act))
    assert any(each.startswith(fault) for each in found), sorted(found)[:5]
