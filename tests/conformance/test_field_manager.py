"""Upstream's field manager as judge of server-side apply and managedFields; skipped where it is not built.

field_manager/README.md says how to build it; tests/unit/objects/test_apply_recorded.py replays what it said once.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from knarr.kinds import registry
from tests.conformance import field_steps
from tests.conformance.field_steps import Json, Step

_PROGRAM = os.environ.get("KNARR_FIELD_MANAGER", "")
_SEQUENCES = int(os.environ.get("KNARR_SEQUENCES", "400"))
_FIRST = int(os.environ.get("KNARR_FIRST_SEED", "0"))
_RECORD = os.environ.get("KNARR_RECORD", "")
_LINE_BYTES_MAX = 2000  # a recording is read with every run of the tests
_KINDS = (
    "ConfigMap", "Deployment", "Pod", "Service", "Secret", "StatefulSet", "DaemonSet", "Job", "CronJob", "Node",
    "PersistentVolume", "PersistentVolumeClaim", "ServiceAccount", "ClusterRole", "Lease", "PodDisruptionBudget",
)  # fmt: skip

pytestmark = pytest.mark.skipif(not _PROGRAM, reason="KNARR_FIELD_MANAGER names no judge (field_manager/README.md)")


class Judge:
    def __init__(self, child: "subprocess.Popen[bytes]") -> None:
        self._child = child

    def answer(self, step: Step) -> Json:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(msgspec.json.encode(step.json()) + b"\n")
        self._child.stdin.flush()
        answered: Json = msgspec.json.decode(self._child.stdout.readline())
        return answered


@pytest.fixture
def judge() -> Iterator[Judge]:
    with subprocess.Popen([_PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        yield Judge(child)
        assert child.stdin is not None
        child.stdin.close()


def judged_steps(judge: Judge, seed: int) -> Iterator[tuple[Step, Json]]:
    name = _KINDS[seed % len(_KINDS)]
    kind = next(kind for kind in registry.builtin() if kind.kind == name)
    for step in field_steps.steps(seed, kind):
        answered = judge.answer(step)
        if "not declared in schema" in answered.get("error", ""):
            return  # newer than the judge
        yield step, answered


@pytest.mark.timeout(0)
def test_the_same_fields_belong_to_the_same_managers(judge: Judge) -> None:
    for seed in range(_FIRST, _FIRST + _SEQUENCES):
        for step, wanted in judged_steps(judge, seed):
            kind = field_steps.kind_of(step)
            made = field_steps.comparable(kind, step, field_steps.answer(kind, step))
            assert made == field_steps.comparable(kind, step, wanted), f"seed {seed}, {step}"


@pytest.mark.skipif(not _RECORD, reason="KNARR_RECORD names no file")
def test_the_judgement_is_recorded(judge: Judge) -> None:
    with Path(_RECORD).open("wb") as file:
        for seed in range(_FIRST, _FIRST + _SEQUENCES):
            for step, wanted in judged_steps(judge, seed):
                kept = field_steps.comparable(field_steps.kind_of(step), step, wanted)
                line = msgspec.json.encode([step.json(), kept], order="sorted") + b"\n"
                if len(line) <= _LINE_BYTES_MAX:
                    file.write(line)
