"""Safety sentences: what must hold after every single write, whatever fails in between."""

from collections import defaultdict
from typing import Any

from knarr.client.client import Json
from knarr.kinds.core_pod import POD
from tests.simulation.memory_api import MemoryApi


class Broken(AssertionError):
    """A safety sentence does not hold."""


class Watchman:
    """Looks at every change. `surge_max` and `floor` are those of the Deployment `web` while its size stays."""

    def __init__(self, api: MemoryApi) -> None:
        self._api = api
        self._sizes: dict[str, int] = defaultdict(int)
        self._succeeded: dict[str, int] = defaultdict(int)
        self.size_max: dict[str, int] = defaultdict(int)
        self.floor = 0
        self.total_max = 1 << 30
        api.observers.append(self.look)

    def look(self, event: str, changed: Json) -> None:
        match changed["kind"]:
            case "ReplicaSet":
                self._replica_set(event, changed)
            case "Pod":
                self._pod(event, changed)
            case "Job":
                self._job(changed)

    def _replica_set(self, event: str, changed: Json) -> None:
        uid = changed["metadata"]["uid"]
        size = 0 if event == "DELETED" else changed["spec"]["replicas"]
        self._sizes[uid] = size
        self.size_max[uid] = max(self.size_max[uid], size)
        owner = changed["metadata"].get("ownerReferences")
        if owner and sum(self._sizes.values()) > self.total_max:
            raise Broken(f"sets want {sum(self._sizes.values())} pods, more than {self.total_max}")

    def _pod(self, event: str, changed: Json) -> None:
        pods = self._api.all(POD)
        owner = controller(changed)
        if event == "ADDED" and owner and owner["kind"] == "ReplicaSet":
            active = [pod for pod in pods if controller(pod) == owner and is_active(pod)]
            if len(active) > self.size_max[owner["uid"]]:
                raise Broken(f"{owner['name']} has {len(active)} pods, more than it ever wanted")
        if event == "ADDED" and owner and owner["kind"] == "StatefulSet":
            self._ordinal(changed, owner, pods)
        is_ending = "deletionTimestamp" in changed["metadata"] or event == "DELETED"
        if self.floor and is_ending and owner and owner["kind"] == "ReplicaSet":
            ready = sum(is_ready(pod) for pod in pods if (controller(pod) or {}).get("kind") == "ReplicaSet")
            if ready < self.floor:
                raise Broken(f"only {ready} ready pods are left, fewer than {self.floor}")

    def _ordinal(self, changed: Json, owner: Json, pods: list[Json]) -> None:
        number = int(changed["metadata"]["name"].rpartition("-")[2])
        before = {pod["metadata"]["name"]: pod for pod in pods if controller(pod) == owner}
        for lower in range(number):
            pod = before.get(f"{owner['name']}-{lower}")
            if pod is None or not is_ready(pod):
                raise Broken(f"ordinal {number} came before {lower} was ready")

    def _job(self, changed: Json) -> None:
        name, status = changed["metadata"]["name"], changed.get("status", {})
        succeeded = status.get("succeeded", 0)
        if succeeded < self._succeeded[name]:
            raise Broken(f"job {name} unlearned a success")
        if succeeded > changed["spec"].get("completions", 1 << 30):
            raise Broken(f"job {name} counted {succeeded} successes")
        self._succeeded[name] = succeeded


def controller(pod: Json) -> dict[str, Any] | None:
    return next((one for one in pod["metadata"].get("ownerReferences", ()) if one.get("controller")), None)


def is_active(pod: Json) -> bool:
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not ended and "deletionTimestamp" not in pod["metadata"]


def is_ready(pod: Json) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return is_active(pod) and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
