"""Scene: the object in question and what was read around it, as JSON values; the questions that rules ask of it. Pure.

`around` holds lists by kind (Pod, ReplicaSet, Job, Event, Node, …); `logs` the last lines by (pod, container);
`reasons` what the object's controllers say it waits for, by their names.
The reading itself is cli/why.py's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from knarr.objects import labels

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scene:
    subject: Json
    around: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    logs: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    now: datetime = datetime.fromtimestamp(0, UTC)
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return str(self.subject.get("kind", ""))

    def all(self, kind: str) -> Sequence[Json]:
        return self.around.get(kind, ())

    def here(self, kind: str) -> list[Json]:
        """Those of the subject's namespace."""
        return [each for each in self.all(kind) if namespace(each) == namespace(self.subject)]

    def named(self, kind: str, wanted: str) -> Json | None:
        return next((each for each in self.all(kind) if name(each) == wanted), None)

    def events(self, about: Json, *reasons: str) -> list[Json]:
        """The object's events, the newest last; only those with one of the reasons, if any is given."""
        found = [each for each in self.all("Event") if _is_about(each, about)]
        chosen = [each for each in found if not reasons or each.get("reason") in reasons]
        return sorted(chosen, key=event_time)

    def newest(self, about: Json, *reasons: str) -> str:
        """The message of the newest such event; "" if there is none."""
        found = self.events(about, *reasons)
        return str(found[-1].get("message", "")).strip() if found else ""

    def owned(self, kind: str) -> list[Json]:
        """The objects of that kind that the subject owns, through any number of owners."""
        known, found = {uid(self.subject)}, dict[str, Json]()
        pool = [each for objects in self.around.values() for each in objects if metadata(each).get("ownerReferences")]
        grew = True
        while grew:
            fresh = [each for each in pool if uid(each) not in known and owners(each) & known]
            grew = bool(fresh)
            known |= {uid(each) for each in fresh}
            found |= {uid(each): each for each in fresh}
        return [each for each in self.all(kind) if uid(each) in found]

    def pods(self) -> list[Json]:
        """The pods that the subject stands for: itself, the owned or the selected ones."""
        if self.kind == "Pod":
            return [self.subject]
        if self.kind == "Service":
            wanted = spec(self.subject).get("selector")
            return selected(self.here("Pod"), labels.equal(wanted)) if wanted else []
        if self.kind == "PodDisruptionBudget":
            return selected(self.here("Pod"), labels.of(spec(self.subject).get("selector")))
        return self.owned("Pod")


def selected(pods: Iterable[Json], selector: labels.Selector) -> list[Json]:
    return [pod for pod in pods if selector.matches(metadata(pod).get("labels") or {})]


def metadata(each: Json) -> Json:
    return _mapping(each.get("metadata"))


def name(each: Json) -> str:
    return str(metadata(each).get("name", ""))


def namespace(each: Json) -> str:
    return str(metadata(each).get("namespace", ""))


def uid(each: Json) -> str:
    return str(metadata(each).get("uid", ""))


def owners(each: Json) -> set[str]:
    return {str(ref.get("uid")) for ref in metadata(each).get("ownerReferences") or ()}


def spec(each: Json) -> Json:
    return _mapping(each.get("spec"))


def status(each: Json) -> Json:
    return _mapping(each.get("status"))


def title(each: Json) -> str:
    """`pod/web-1`."""
    return f"{str(each.get('kind', '')).lower()}/{name(each)}"


def condition(each: Json, type_: str) -> Json:
    """The condition of that type; {} if it is not there."""
    conditions = status(each).get("conditions")
    found = [_mapping(every) for every in conditions] if isinstance(conditions, list) else []
    return next((every for every in found if every.get("type") == type_), {})


def is_ready(pod: Json) -> bool:
    return bool(condition(pod, "Ready").get("status") == "True")


def is_over(pod: Json) -> bool:
    return status(pod).get("phase") in ("Succeeded", "Failed")


def event_time(event: Json) -> str:
    series = (event.get("series") or {}).get("lastObservedTime")
    return str(series or event.get("lastTimestamp") or event.get("eventTime") or "")


def _mapping(value: Any) -> Json:
    """The value, if it is an object: custom resources may put anything under the well-known names."""
    return value if isinstance(value, dict) else {}


def _is_about(event: Json, about: Json) -> bool:
    involved = event.get("involvedObject") or {}
    if involved.get("uid") and uid(about):
        return bool(involved["uid"] == uid(about))
    return (involved.get("kind"), involved.get("name")) == (about.get("kind"), name(about))
