"""What the last attempts of a pod's probes said, and the time line that `knarr why` makes of it."""

import asyncio
from collections import deque
from datetime import timedelta
from pathlib import Path

from knarr.cli import why
from knarr.kubelet.probes.history import ATTEMPTS_MAX, OUTPUT_MAX, History
from knarr.kubelet.probes.result import Result
from tests.unit.kubelet.harness import Node, run
from tests.unit.kubelet.test_pod_plan import NOW


def test_only_the_last_attempts_are_kept_and_only_failures_speak() -> None:
    history = History()
    for number in range(ATTEMPTS_MAX + 5):
        began = NOW + timedelta(seconds=number)
        result = Result(number % 2 == 0, "x" * 1000)
        history.add("c", "liveness", result, began, began + timedelta(milliseconds=5))
    found = history.shown()
    assert len(found) == ATTEMPTS_MAX
    assert found[0] == {
        "time": "2030-01-01T12:00:05.000000Z",
        "container": "c",
        "probe": "liveness",
        "result": "failure",
        "seconds": 0.005,
        "output": "x" * OUTPUT_MAX,
    }
    assert found[1]["output"] == ""


def test_the_time_line_joins_what_is_the_same() -> None:
    history = History()
    for number, result in enumerate(
        [Result(True), Result(True), Result(False, "HTTP 500\nmore"), Result(False, "gone")]
    ):
        began = NOW + timedelta(seconds=number)
        history.add("c", "readiness", result, began, began)
    assert why.time_line(history.shown()) == [
        "",
        "probes, the last attempts:",
        "  12:00:00.000 c readiness success (2 times)",
        "  12:00:02.000 c readiness failure: HTTP 500",
        "  12:00:03.000 c readiness failure: gone",
    ]
    assert why.time_line([]) == []


def test_a_kubelet_tells_what_probes_said_also_before_a_restart(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        codes = deque([0, 1] + [0] * 100)
        node.script("c", exec=lambda command: (codes.popleft(), b"no luck"))
        probe = {"exec": {"command": ["check"]}, "periodSeconds": 1, "failureThreshold": 1}
        await node.create("web", {"containers": [{"name": "c", "livenessProbe": probe}]})

        async def is_restarted() -> bool:
            statuses = (await node.status("web")).get("containerStatuses", [])
            return bool(statuses) and statuses[0]["restartCount"] == 1

        await node.until(is_restarted)
        await asyncio.sleep(3)
        told = [(each["result"], each["output"]) for each in node.kubelet.probe_attempts("default", "web")]
        assert told[:3] == [("success", ""), ("failure", "no luck"), ("success", "")]

    run(tmp_path, story)
