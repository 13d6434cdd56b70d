"""Image names: which reference means which manifest here, durably, and how the name came to be.

One JSON file, replaced all at once; one process owns it, from any of its threads: readers see the names as they were
before or after a change. A name is the text of a normalised reference, by tag or by digest. It does not read manifests.
"Resolves here first" is `is_own`: what was built, tagged, loaded or pushed on this machine is never looked for
elsewhere.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from knarr.base.clock import Clock, SystemClock, rfc3339
from knarr.base.errors import Invalid
from knarr.base.failpoints import failpoint
from knarr.images.local_content import replace_file
from knarr.oci import reference as references
from knarr.oci.digest import Digest
from knarr.oci.reference import Reference

Origin = Literal["built", "tagged", "loaded", "pushed", "pulled"]


class Name(msgspec.Struct, frozen=True, kw_only=True):
    """`created` is when the name was last set, RFC 3339."""

    reference: str
    digest: Digest
    media_type: str
    size: int
    origin: Origin
    created: str

    @property
    def is_own(self) -> bool:
        """Whether the name was made on this machine, so that no registry is asked about it."""
        return self.origin != "pulled"

    @property
    def parsed(self) -> Reference:
        return references.parse(self.reference)


class Names:
    """The names of one content store. `path` None keeps them in memory only."""

    def __init__(self, path: Path | None = None, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock or SystemClock()
        self._names: dict[str, Name] = {}
        self._lock = threading.Lock()
        if path is not None and path.exists():
            self._names = {name.reference: name for name in _decode(path)}

    def tag(self, reference: Reference, digest: Digest, *, media_type: str, size: int, origin: Origin) -> Name:
        """Let the reference mean this manifest from now on. Nothing is written when it does already."""
        text = str(reference)
        with self._lock:
            known = self._names.get(text)
            if known is not None and (known.digest, known.media_type, known.origin) == (digest, media_type, origin):
                return known
            created = rfc3339(self._clock.now())
            name = Name(reference=text, digest=digest, media_type=media_type, size=size, origin=origin, created=created)
            self._replace({**self._names, text: name})
        return name

    def untag(self, reference: Reference) -> bool:
        """Forget the reference; False if it was unknown."""
        text = str(reference)
        with self._lock:
            if text not in self._names:
                return False
            self._replace({key: name for key, name in self._names.items() if key != text})
        return True

    def find(self, reference: Reference) -> Name | None:
        """What the reference means. One by digest is also found through any tag of its repository."""
        if reference.digest is None:
            return self._names.get(str(reference))
        for name in self._names.values():
            if name.digest == reference.digest and name.parsed.repository == reference.repository:
                return name
        return None

    def repository(self, repository: str) -> tuple[Name, ...]:
        """All names in a repository (`localhost:5000/web`), in order."""
        return tuple(name for name in self if name.parsed.repository == repository)

    def __iter__(self) -> Iterator[Name]:
        names = self._names
        return iter([names[reference] for reference in sorted(names)])

    def __len__(self) -> int:
        return len(self._names)

    def _replace(self, names: dict[str, Name]) -> None:
        """On the disk first: a name that could not be written is none. The caller holds the lock."""
        if self._path is not None:
            failpoint("names.before_save")
            replace_file(self._path, msgspec.json.format(msgspec.json.encode(list(names.values())), indent=1))
        self._names = names


def _decode(path: Path) -> list[Name]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Name])
    except msgspec.DecodeError as error:
        raise Invalid(f"{path} does not hold image names: {error}") from error
