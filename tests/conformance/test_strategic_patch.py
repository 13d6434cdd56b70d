"""Strategic merge patches as kubectl itself computes them (`kubectl patch --local`), over seeded random patches."""

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from knarr.base.errors import KnarrError
from knarr.kinds import schemas, walks
from knarr.kinds.core_pod import POD
from knarr.objects import patches

Json = dict[str, Any]
KUBECTL = shutil.which("kubectl")
SEEDS = range(30)
NAMES, VARIABLES, VOLUMES = "abcd", "XYZ", "uvw"


def pod(seeded: random.Random) -> Json:
    def environment() -> list[Json]:
        return [{"name": name, "value": "1"} for name in seeded.sample(VARIABLES, seeded.randint(1, 3))]

    containers = [{"name": name, "image": f"{name}:1", "env": environment(), "args": ["1"]}
                  for name in seeded.sample(NAMES, seeded.randint(1, 3))]  # fmt: skip
    volumes = [{"name": name, "emptyDir": {}} for name in seeded.sample(VOLUMES, seeded.randint(1, 3))]
    metadata = {"name": "p", "labels": {"x": "1"}, "finalizers": seeded.sample(["a/1", "b/2", "c/3"], 2)}
    spec = {"containers": containers, "volumes": volumes, "tolerations": [{"key": "t"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def patch(seeded: random.Random, live: Json) -> Json:
    changed: list[Json] = []
    for name in seeded.sample(NAMES, seeded.randint(1, 3)):
        if seeded.random() < 0.2:
            changed.append({"$patch": "delete", "name": name})
            continue
        variables = [{"name": each, "value": "9"} for each in seeded.sample(VARIABLES, 2)]
        entry: Json = {"name": name, "image": f"{name}:2", "env": variables}
        if seeded.random() < 0.3:
            entry["$setElementOrder/env"] = [{"name": each} for each in seeded.sample(VARIABLES, 3)]
        changed.append(entry | ({"args": seeded.choice([["3"], None])} if seeded.random() < 0.4 else {}))
    spec: Json = {"containers": changed}
    if seeded.random() < 0.5:
        named = [each["name"] for each in (*live["spec"]["containers"], *changed) if "$patch" not in each]
        order = list(dict.fromkeys(named))
        seeded.shuffle(order)
        spec["$setElementOrder/containers"] = [{"name": each} for each in order]
    if seeded.random() < 0.3:
        hosted = {"name": seeded.choice("uvz"), "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}
        spec["volumes"] = [hosted]
    if seeded.random() < 0.3:
        spec["tolerations"] = [{"key": "z"}]
    metadata: Json = {"labels": {"x": None, "y": "2"}}
    if seeded.random() < 0.5:
        metadata |= {"finalizers": ["d/4"], "$deleteFromPrimitiveList/finalizers": ["a/1"]}
    return {"metadata": metadata, "spec": spec}


def ours(live: Json, given: Json) -> Json | None:
    try:
        return walks.decoded(POD, patches.strategic_merge_patch(schemas.of(POD), live, given))
    except KnarrError:
        return None


@pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_patch_gives_what_kubectl_computes(seed: int, tmp_path: Path) -> None:
    seeded = random.Random(seed)
    live = pod(seeded)
    given = patch(seeded, live)
    file = tmp_path / "pod.json"
    file.write_text(json.dumps(live))
    command = ["patch", "--local", "-f", str(file), "--type=strategic", "-p", json.dumps(given), "-o", "json"]
    asked = subprocess.run([str(KUBECTL), *command], capture_output=True, check=False, timeout=30)
    theirs = walks.decoded(POD, json.loads(asked.stdout)) if asked.returncode == 0 else None
    assert ours(live, given) == theirs, (asked.stderr, given)
