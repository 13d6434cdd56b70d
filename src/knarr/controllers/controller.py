"""What a controller is: a row of data with one pure function, `plan(object, view, now) -> Plan`.

The plan says what to do; controllers/runner.py does it: in order, stopping at the first failure, planning again on
Conflict, and never on a view older than the key's own last write, so no controller needs expectations.
Not here: watching, queues, retries (runner), the API's semantics (apiserver).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from knarr.base.clock import Instant
from knarr.base.errors import KnarrError
from knarr.client.client import DeleteOptions, Json, PatchType
from knarr.client.view import View
from knarr.kinds.registry import Kind

Key = tuple[str, str]
"""(namespace, name) of a controller's root object; namespace "" when cluster-scoped."""


@dataclass(frozen=True, slots=True)
class EventNote:
    """A Kubernetes Event: what a *user* must know. In an action's note `{name}` stands for the name that the server
    gave the object. `regarding` is the ObjectReference of what it is about, if that is not the root."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    regarding: Json | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """POST of `body` (metadata.name or generateName included). AlreadyExists counts as done if `tolerate_existing`.
    `note` is told once it is done."""

    kind: Kind
    namespace: str
    body: Json
    tolerate_existing: bool = False
    name: str = ""
    subresource: str = ""
    note: EventNote | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """PATCH; put metadata.resourceVersion or metadata.uid into the body where the plan depends on them.
    `tolerate_absent`: the object being gone counts as done."""

    kind: Kind
    namespace: str
    name: str
    body: Any
    patch: PatchType = "merge"
    subresource: str = ""
    tolerate_absent: bool = False
    note: EventNote | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE; set options.uid so that a namesake is never hit. The absent counts as deleted."""

    kind: Kind
    namespace: str
    name: str
    options: DeleteOptions = DeleteOptions()
    note: EventNote | None = None


Action = Create | Patch | Delete


@dataclass(frozen=True, slots=True)
class Plan:
    """`status` replaces the root's status after the actions (None leaves it; written only when it differs);
    `again_at` asks to be planned again at that moment; `why` says in words what the object waits for."""

    actions: Sequence[Action] = ()
    status: Mapping[str, Any] | None = None
    events: Sequence[EventNote] = ()
    again_at: Instant | None = None
    why: str = ""


PlanFunction = Callable[[Any, View, Instant], Plan]
KeysOf = Callable[[Any, View], Sequence[Key]]
"""From a changed object of a watched kind to the root keys that must be planned again."""
FailedFunction = Callable[[Any, Action, KnarrError, View, Instant], Plan]
"""What to tell when an action was refused: only `status` and `events` of the answer are used."""


@dataclass(frozen=True, slots=True)
class Controller:
    """`kind` is the root kind; a change of an object it `owns` (by ownerReference) or `watches` plans the root again;
    `glances` are watched kinds of which the metadata is enough (their KeysOf gets a client.cache.Held);
    `reads` are kinds in its view whose changes matter to no key; `writes` names every kind its client may write.
    A deleted root is not planned."""

    name: str
    kind: Kind
    plan: PlanFunction
    owns: Sequence[Kind] = ()
    watches: Mapping[Kind, KeysOf] = field(default_factory=dict)
    glances: Mapping[Kind, KeysOf] = field(default_factory=dict)
    reads: Sequence[Kind] = ()
    writes: Sequence[Kind] = ()
    failed: FailedFunction | None = None
