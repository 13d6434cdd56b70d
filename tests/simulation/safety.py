"""Safety sentences: what must hold after every single write, whatever fails in between.

A sentence that does not hold is noted in `broken`; nothing is raised, for the write belongs to whoever made it.
"""

from collections import defaultdict
from typing import Any

from knarr.client.client import Json
from knarr.controllers.job.indexes import parse
from knarr.kinds.batch import JOB
from knarr.kinds.core_pod import POD
from tests.simulation.memory_api import MemoryApi

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"


class Watchman:
    """Looks at every change. `total_max` and `floor` are those of the Deployment `web` while its size stays."""

    def __init__(self, api: MemoryApi) -> None:
        self._api = api
        self._sizes: dict[str, int] = defaultdict(int)
        self._size_max: dict[str, int] = defaultdict(int)
        self._succeeded: dict[str, set[str]] = defaultdict(set)
        self._counted: dict[str, int] = defaultdict(int)
        self.times: set[tuple[str, str]] = set()
        self.floor = 0
        self.total_max = 1 << 30
        self.checks = 0
        self.broken: list[str] = []
        api.observers.append(self.look)

    def insist(self, holds: bool, sentence: str) -> None:
        """One sentence about one change."""
        self.checks += 1
        if not holds:
            self.broken.append(sentence)

    def look(self, event: str, changed: Json) -> None:
        match changed["kind"]:
            case "ReplicaSet" | "ReplicationController":
                self._replica_set(event, changed)
            case "Pod":
                self._pod(event, changed)
            case "Job":
                self._job(event, changed)

    def _replica_set(self, event: str, changed: Json) -> None:
        uid = changed["metadata"]["uid"]
        size = 0 if event == "DELETED" else changed["spec"]["replicas"]
        self._sizes[uid] = size
        self._size_max[uid] = max(self._size_max[uid], size)
        if controller(changed) is not None:
            total = sum(self._sizes.values())
            self.insist(total <= self.total_max, f"sets want {total} pods, more than {self.total_max}")

    def _pod(self, event: str, changed: Json) -> None:
        owner = controller(changed)
        if owner is None:
            return
        pods = self._api.all(POD)
        siblings = [pod for pod in pods if (controller(pod) or {}).get("uid") == owner["uid"]]
        if changed.get("status", {}).get("phase") == "Succeeded":
            self._succeeded[owner["uid"]].add(changed["metadata"]["uid"])
        is_ending = "deletionTimestamp" in changed["metadata"] or event == "DELETED"
        match owner["kind"]:
            case "ReplicaSet" | "ReplicationController":
                if event == "ADDED":
                    self._enough(owner, siblings, self._size_max[owner["uid"]])
                if is_ending and self.floor:
                    ready = sum(is_ready(pod) for pod in pods)
                    self.insist(ready >= self.floor, f"only {ready} ready pods are left, fewer than {self.floor}")
            case "StatefulSet":
                if event == "ADDED":
                    self._ordinal(changed, owner, siblings)
            case "DaemonSet":
                if event == "ADDED":
                    self._one_a_node(changed, siblings)
            case "Job":
                if event == "ADDED":
                    self._parallel(owner, siblings)

    def _enough(self, owner: Json, siblings: list[Json], most: int) -> None:
        active = sum(is_active(pod) for pod in siblings)
        self.insist(active <= most, f"{owner['name']} has {active} pods, more than it ever wanted")

    def _ordinal(self, changed: Json, owner: Json, siblings: list[Json]) -> None:
        number = int(changed["metadata"]["name"].rpartition("-")[2])
        ready = {pod["metadata"]["name"] for pod in siblings if is_ready(pod)}
        late = [lower for lower in range(number) if f"{owner['name']}-{lower}" not in ready]
        self.insist(not late, f"ordinal {number} came before {late} were ready")

    def _one_a_node(self, changed: Json, siblings: list[Json]) -> None:
        node = pinned_node(changed)
        there = sum(is_active(pod) and pinned_node(pod) == node for pod in siblings)
        self.insist(there <= 1, f"{there} daemon pods for node {node}")

    def _parallel(self, owner: Json, siblings: list[Json]) -> None:
        job = next((one for one in self._api.all(JOB) if one["metadata"]["uid"] == owner["uid"]), None)
        if job is None:
            return
        active = sum(is_active(pod) for pod in siblings)
        most = job["spec"].get("parallelism", 1)
        self.insist(active <= most, f"job {owner['name']} runs {active} pods at a time, more than {most}")

    def _job(self, event: str, changed: Json) -> None:
        metadata, status = changed["metadata"], changed.get("status", {})
        name, uid = metadata["name"], metadata["uid"]
        succeeded, completions = status.get("succeeded", 0), changed["spec"].get("completions", 1)
        real = len(self._succeeded[uid])
        self.insist(succeeded >= self._counted[uid], f"job {name} unlearned a success")
        self.insist(succeeded <= completions, f"job {name} counted {succeeded} successes of {completions}")
        self.insist(succeeded <= real, f"job {name} counted {succeeded} successes, {real} pods succeeded")
        self._counted[uid] = succeeded
        if any(one["type"] == "Complete" and one["status"] == "True" for one in status.get("conditions", ())):
            self.insist(succeeded == completions, f"job {name} is complete with {succeeded} of {completions}")
        if changed["spec"].get("completionMode") == "Indexed":
            done = len(parse(status.get("completedIndexes", ""), completions))
            self.insist(done >= succeeded, f"job {name} counted {succeeded} successes of {done} indexes")
        at = metadata.get("annotations", {}).get(SCHEDULED)
        owner = controller(changed)
        if event == "ADDED" and at and owner:
            self.insist((owner["uid"], at) not in self.times, f"two jobs of {owner['name']} for {at}")
            self.times.add((owner["uid"], at))


def controller(one: Json) -> dict[str, Any] | None:
    return next((each for each in one["metadata"].get("ownerReferences", ()) if each.get("controller")), None)


def is_active(pod: Json) -> bool:
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not ended and "deletionTimestamp" not in pod["metadata"]


def is_ready(pod: Json) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return is_active(pod) and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def pinned_node(pod: Json) -> str:
    """The node that a daemon pod is for."""
    required = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    found: str = required["nodeSelectorTerms"][0]["matchFields"][0]["values"][0]
    return found
