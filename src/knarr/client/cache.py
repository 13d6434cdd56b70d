"""Cache: the View kept by reflectors: encoded bytes of each object, its lens decoded lazily once per revision.

Indexes: namespace, owner uid (uid "" holds what no controller owns), node. Each kind knows its own progress: the last
revision whose changes it has seen. Listeners hear every change, synchronously and in order.
Not here: talking to the server (client/reflector.py). Vocabulary: a *held* object is one entry; a *shelf* one kind.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from knarr.base import logs, tasks
from knarr.base.clock import Instant
from knarr.base.ids import Revision
from knarr.client import sharing
from knarr.client.client import WatchEvent
from knarr.client.view import Lens
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.meta import ObjectMeta, OwnerReference
from knarr.kinds.lens.pod import Pod
from knarr.kinds.registry import Kind

_log = logs.log("client")


class Metadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the indexes and the garbage collector need of every object."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = "0"
    deletion_timestamp: Instant | None = None
    deletion_grace_period_seconds: int | None = None
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()


class _Head(msgspec.Struct, frozen=True):
    metadata: Metadata = Metadata()


class _PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    node_name: str = ""


class _PodHead(msgspec.Struct, frozen=True):
    metadata: Metadata = Metadata()
    spec: _PodSpec = _PodSpec()


_head_decoder = msgspec.json.Decoder(_Head)
_pod_head_decoder = msgspec.json.Decoder(_PodHead)
_lens_decoders: dict[type, Callable[[bytes], Any]] = {Pod: sharing.pod}


class Held:
    """One object: its metadata, its JSON (empty where the cache keeps metadata only) and the lenses decoded so far."""

    __slots__ = ("_is_lens_only", "_lenses", "kind", "metadata", "node", "raw", "revision")

    def __init__(self, kind: Kind, raw: bytes, *, keep_raw: bool = True, is_lens_only: bool = False) -> None:
        if kind == POD:
            head = _pod_head_decoder.decode(raw)
            metadata, self.node = head.metadata, head.spec.node_name
        else:
            metadata, self.node = _head_decoder.decode(raw).metadata, ""
        self.metadata: Metadata | ObjectMeta = metadata
        self.kind = kind
        self.raw = raw if keep_raw else b""
        self._is_lens_only = is_lens_only
        self.revision = Revision(int(self.metadata.resource_version))
        self._lenses: tuple[msgspec.Struct, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """(namespace, name)."""
        return self.metadata.namespace, self.metadata.name

    def lens(self, lens: type[Lens]) -> Lens:
        """The object read through `lens`, decoded at the first call; of a lens-only kind that lets go of the JSON."""
        for decoded in self._lenses:
            if type(decoded) is lens:
                return decoded
        decode = _lens_decoders.get(lens)
        if decode is None:
            decode = _lens_decoders[lens] = msgspec.json.Decoder(lens).decode
        assert self.raw, f"the JSON of {self.kind.kind} is not kept"
        seen: Lens = decode(self.raw)
        self._lenses = (*self._lenses, seen)
        if self._is_lens_only:
            self.raw = b""
            held = getattr(seen, "metadata", None)
            if isinstance(held, ObjectMeta):  # one copy is enough of what there are many of
                self.metadata = held
        return seen

    def owner_uids(self) -> Sequence[str]:
        """The index keys: every owner, and "" when none of them is the controller."""
        references = self.metadata.owner_references
        uids = [reference.uid for reference in references]
        return uids if any(reference.controller for reference in references) else [*uids, ""]


@dataclass(frozen=True, slots=True)
class Changed:
    """One change of the view: `old` None is an addition, `new` None a removal."""

    kind: Kind
    old: Held | None
    new: Held | None

    @property
    def held(self) -> Held:
        """The newest picture of the object."""
        latest = self.new or self.old
        assert latest is not None
        return latest


Listener = Callable[[Changed], None]
Progressed = Callable[[Kind], None]


class _Shelf:
    __slots__ = ("is_listed", "namespaces", "nodes", "owners", "progress")

    def __init__(self) -> None:
        self.namespaces: dict[str, dict[str, Held]] = {}
        self.owners: dict[str, dict[tuple[str, str], Held]] = {}
        self.nodes: dict[str, dict[tuple[str, str], Held]] = {}
        self.progress = Revision(0)
        self.is_listed = False

    def find(self, namespace: str, name: str) -> Held | None:
        return self.namespaces.get(namespace, {}).get(name)

    def put(self, held: Held) -> None:
        key = namespace, name = held.key
        self.namespaces.setdefault(namespace, {})[name] = held
        for uid in held.owner_uids():
            self.owners.setdefault(uid, {})[key] = held
        if held.kind == POD:
            self.nodes.setdefault(held.node, {})[key] = held

    def take(self, held: Held) -> None:
        namespace, name = held.key
        _drop(self.namespaces, namespace, name)
        for uid in held.owner_uids():
            _drop(self.owners, uid, held.key)
        if held.kind == POD:
            _drop(self.nodes, held.node, held.key)

    def all(self) -> Iterator[Held]:
        for namespace in sorted(self.namespaces):
            inside = self.namespaces[namespace]
            yield from (inside[name] for name in sorted(inside))


def _drop(index: dict[str, dict[Any, Held]], key: str, member: Any) -> None:
    members = index.get(key)
    if members is not None:
        members.pop(member, None)
        if not members:
            del index[key]


class Cache:
    """Implements client.view.View. `metadata_only` kinds keep no JSON: they serve the garbage collector.

    `lens_only` kinds keep theirs until the one lens that everybody reads them by is decoded: there are many of them."""

    def __init__(
        self, kinds: Iterable[Kind], *, metadata_only: Iterable[Kind] = (), lens_only: Iterable[Kind] = ()
    ) -> None:
        whole = dict.fromkeys(kinds)
        self._lens_only = frozenset(lens_only)
        self._metadata_only = frozenset(kind for kind in metadata_only if kind not in whole)
        self._shelves = {kind: _Shelf() for kind in (*whole, *self._metadata_only)}
        self._by_lens = {kind.lens: self._shelves[kind] for kind in whole if kind.lens is not None}
        self._listeners: dict[Kind, list[Listener]] = {kind: [] for kind in self._shelves}
        self._progressed: list[Progressed] = []
        self._waiters: list[tuple[Kind, Revision, asyncio.Future[None]]] = []

    # -- reading: View ------------------------------------------------------------------------------------------------

    @property
    def kinds(self) -> Sequence[Kind]:
        return tuple(self._shelves)

    @property
    def revision(self) -> Revision:
        """The least progress of all kinds."""
        return min((shelf.progress for shelf in self._shelves.values()), default=Revision(0))

    def get(self, lens: type[Lens], namespace: str, name: str) -> Lens | None:
        held = self._shelf(lens).find(namespace, name)
        return held.lens(lens) if held is not None else None

    def raw(self, lens: type[Lens], namespace: str, name: str) -> bytes | None:
        held = self._shelf(lens).find(namespace, name)
        assert held is None or held.kind not in self._lens_only, f"the JSON of {held.kind.kind} is not kept"
        return held.raw if held is not None else None

    def list(self, lens: type[Lens], namespace: str = "") -> Sequence[Lens]:
        shelf = self._shelf(lens)
        if not namespace:
            return [held.lens(lens) for held in shelf.all()]
        inside = shelf.namespaces.get(namespace, {})
        return [inside[name].lens(lens) for name in sorted(inside)]

    def owned(self, lens: type[Lens], owner_uid: str, namespace: str = "") -> Sequence[Lens]:
        found = self._shelf(lens).owners.get(owner_uid, {})
        return [found[key].lens(lens) for key in sorted(found) if not namespace or key[0] == namespace]

    def count(self, kind: Kind, namespace: str) -> int:
        shelf = self._shelves.get(kind)
        return len(shelf.namespaces.get(namespace, ())) if shelf is not None else 0

    def on_node(self, lens: type[Lens], node: str) -> Sequence[Lens]:
        found = self._shelf(lens).nodes.get(node, {})
        return [found[key].lens(lens) for key in sorted(found)]

    # -- reading by kind: runners and the garbage collector -----------------------------------------------------------

    def held(self, kind: Kind, namespace: str, name: str) -> Held | None:
        return self._shelves[kind].find(namespace, name)

    def held_all(self, kind: Kind, namespace: str = "") -> Sequence[Held]:
        """Every held object of a kind, of one namespace where it is given, in the order of namespace and name."""
        shelf = self._shelves[kind]
        return tuple((shelf.namespaces.get(namespace, {})).values()) if namespace else tuple(shelf.all())

    def held_owned(self, owner_uid: str) -> Sequence[Held]:
        """What refers to that owner, of every kind."""
        return [held for shelf in self._shelves.values() for held in shelf.owners.get(owner_uid, {}).values()]

    def progress(self, kind: Kind) -> Revision:
        """The revision up to which every change of this kind is seen."""
        return self._shelves[kind].progress

    def saw_removal(self, kind: Kind, namespace: str, name: str, uid: str) -> bool:
        """Whether the deletion of exactly this object has reached the view: it is gone or terminating."""
        held = self.held(kind, namespace, name)
        return held is None or held.metadata.uid != uid or held.metadata.deletion_timestamp is not None

    def listen(
        self, listener: Listener, progressed: Progressed | None = None, *, kinds: Iterable[Kind] | None = None
    ) -> None:
        """Call `listener` with every change of these kinds (all by default) from now on, and `progressed` with a kind
        whenever its progress moved."""
        for kind in self._shelves if kinds is None else dict.fromkeys(kinds):
            self._listeners[kind].append(listener)
        if progressed is not None:
            self._progressed.append(progressed)

    async def reached(self, kind: Kind, revision: Revision, seconds: float = 10.0) -> None:
        """Return once this kind's progress is `revision` or later; raises DeadlineExceeded."""
        if self.progress(kind) >= revision and self._shelves[kind].is_listed:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((kind, revision, future))
        await tasks.deadline(future, seconds, f"the cache of {kind.plural} reaching revision {revision}")

    # -- writing: reflectors ------------------------------------------------------------------------------------------

    def replace(self, kind: Kind, items: Iterable[bytes], revision: Revision) -> None:
        """Take a list as the truth: listeners hear what differs."""
        shelf = self._shelves[kind]
        listed = {held.key: held for held in (self._read(kind, item) for item in items)}
        shelf.is_listed = True
        gone = [held for held in shelf.all() if held.key not in listed]
        shelf.progress = revision
        for held in gone:
            shelf.take(held)
            self._tell(Changed(kind, held, None))
        for held in listed.values():
            self._put(shelf, held)
        self._advance(kind, revision)

    def apply(self, kind: Kind, event: WatchEvent) -> Revision:
        """Take one watch event; what is older than the progress is ignored. Returns the event's revision."""
        shelf = self._shelves[kind]
        if event.type == "BOOKMARK":
            revision = Revision(int(_head_decoder.decode(event.object).metadata.resource_version))
            self._advance(kind, revision)
            return revision
        held = self._read(kind, event.object)
        if held.revision <= shelf.progress and shelf.is_listed:
            return held.revision
        shelf.progress = held.revision
        if event.type == "DELETED":
            old = shelf.find(*held.key)
            if old is not None:
                shelf.take(old)
                self._tell(Changed(kind, old, None))
        else:
            self._put(shelf, held)
        self._advance(kind, held.revision)
        return held.revision

    def _read(self, kind: Kind, item: bytes) -> Held:
        return Held(kind, item, keep_raw=kind not in self._metadata_only, is_lens_only=kind in self._lens_only)

    def _put(self, shelf: _Shelf, held: Held) -> None:
        old = shelf.find(*held.key)
        if old is not None:
            if old.revision == held.revision and old.metadata.uid == held.metadata.uid:
                return
            shelf.take(old)
            if old.metadata.uid != held.metadata.uid:
                # A namesake came between two looks: to everyone who knew the old one it is a removal.
                self._tell(Changed(held.kind, old, None))
                old = None
        shelf.put(held)
        self._tell(Changed(held.kind, old, held))

    def _advance(self, kind: Kind, revision: Revision) -> None:
        shelf = self._shelves[kind]
        shelf.progress = max(shelf.progress, revision)
        for progressed in self._progressed:
            progressed(kind)
        if self._waiters:
            self._release()

    def _release(self) -> None:
        waiting = []
        for kind, revision, future in self._waiters:
            if self.progress(kind) < revision or not self._shelves[kind].is_listed:
                if not future.done():
                    waiting.append((kind, revision, future))
            elif not future.done():
                future.set_result(None)
        self._waiters = waiting

    def _tell(self, changed: Changed) -> None:
        for listener in self._listeners[changed.kind]:
            try:
                listener(changed)
            except msgspec.ValidationError:
                # One object that no lens can read must not end the view of all others.
                _log.exception("%s %s/%s cannot be read", changed.kind.kind, *changed.held.key)

    def _shelf(self, lens: type[msgspec.Struct]) -> _Shelf:
        shelf = self._by_lens.get(lens)
        assert shelf is not None, f"{lens.__name__} is not in this view: name its kind in owns or watches"
        return shelf
