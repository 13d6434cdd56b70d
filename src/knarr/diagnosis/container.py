"""One container of a pod as rules look at it: spec, status, how it last ended, its events and last log lines. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from knarr.diagnosis import scene as scenes
from knarr.diagnosis.scene import Json, Scene

STEADY_SECONDS: Final = 600
"""A container that has run this long since its last crash counts as sound: upstream resets the back-off then too."""
LOG_LINES_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Container:
    scene: Scene
    pod: Json
    spec: Json
    status: Json
    is_init: bool

    @property
    def name(self) -> str:
        return str(self.spec.get("name", ""))

    @property
    def title(self) -> str:
        return f"{'init container' if self.is_init else 'container'} {self.name}"

    @property
    def waiting(self) -> Json:
        found: Json = (self.status.get("state") or {}).get("waiting") or {}
        return found

    @property
    def reason(self) -> str:
        return str(self.waiting.get("reason", ""))

    @property
    def message(self) -> str:
        return str(self.waiting.get("message", ""))

    @property
    def is_running(self) -> bool:
        return "running" in (self.status.get("state") or {})

    @property
    def ended(self) -> Json:
        """How it ended: now, or the last time where that still matters; {} when it did not."""
        state, last = self.status.get("state") or {}, self.status.get("lastState") or {}
        if "terminated" in state:
            found: Json = state["terminated"]
            return found
        before: Json = last.get("terminated") or {}
        return {} if self.is_running and self.status.get("ready") and self._was_long_ago(before) else before

    @property
    def exit_code(self) -> int:
        """0 when it did not end, or ended well."""
        return int(self.ended.get("exitCode", 0))

    @property
    def restarts(self) -> int:
        return int(self.status.get("restartCount", 0))

    @property
    def log(self) -> list[str]:
        return [line for line in self.scene.logs.get((scenes.name(self.pod), self.name), ()) if line.strip()]

    @property
    def log_evidence(self) -> list[str]:
        return [f"log: {line.rstrip()}" for line in self.log[-LOG_LINES_SHOWN:]]

    @property
    def end_evidence(self) -> list[str]:
        """Exit code, signal, restarts, what it left as its termination message, its last log lines."""
        ended = self.ended
        said = [f"exit code {self.exit_code} ({ended.get('reason', 'Error')})"] if ended else []
        said += [f"restarts: {self.restarts}"] if self.restarts else []
        said += [f"it said: {ended['message'].strip()}"] if ended.get("message") else []
        return said + self.log_evidence

    def event(self, *reasons: str, start: str = "") -> str:
        """The newest message of this container's events that begins with `start`; "" if there is none."""
        path = f"spec.{'initContainers' if self.is_init else 'containers'}{{{self.name}}}"
        found = [
            str(event.get("message", "")).strip()
            for event in self.scene.events(self.pod, *reasons)
            if (event.get("involvedObject") or {}).get("fieldPath", path) == path
        ]
        return next((message for message in reversed(found) if message.startswith(start)), "")

    def _was_long_ago(self, ended: Json) -> bool:
        try:
            finished = datetime.fromisoformat(str(ended.get("finishedAt", "")))
        except ValueError:
            return True
        return (self.scene.now - finished).total_seconds() > STEADY_SECONDS


def of_pod(scene: Scene, pod: Json) -> Iterator[Container]:
    """Init containers, then containers."""
    spec, status = scenes.spec(pod), scenes.status(pod)
    for specs, statuses, is_init in (
        ("initContainers", "initContainerStatuses", True),
        ("containers", "containerStatuses", False),
    ):
        known = {each.get("name"): each for each in status.get(statuses) or ()}
        for each in spec.get(specs) or ():
            yield Container(scene, pod, each, known.get(each.get("name")) or {}, is_init)
