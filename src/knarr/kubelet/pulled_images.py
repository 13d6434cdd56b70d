"""Which images the kubelet pulled with which credentials: a pod that lacks them may not use the image unasked.

Without this, an image that one pod's pull secret brought here is there for every pod of the node. Images that came
without the kubelet (built, loaded, pulled by the user) and those that a registry gives to anybody are free to all
(upstream's policy NeverVerifyPreloadedImages). Records are by the image's id, and in it by repository: under another
name, or by its id, it is no freer. A pull is noted before it begins, so that what a crash lets in is nobody's.
Credentials are kept as hashes alone. Spec: docs "Images, Ensure image pull credential verification". Pulling is
images.py's.
"""

import asyncio
import hashlib
import os
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from knarr.base import logs
from knarr.base.errors import Invalid
from knarr.cri.messages.image import AuthConfig, Image
from knarr.oci import reference as references

_log = logs.log("kubelet")
_FILE = "pulled-images.json"
IMAGES_MAX = 10_000
"""Beyond it the oldest are forgotten, and are free to all then."""
SECRETS_MAX = 100
"""Of one repository of one image; beyond it those used longest ago are asked for again."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a pull shows to the registry, and the secret that it is from: `uid/namespace/name`. None: nothing."""

    auth: AuthConfig | None = None
    secret: str = ""


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one repository gave one image: to anybody, or to these secrets (with the hash of what they held)."""

    is_public: bool = False
    secrets: dict[str, str] = {}

    def allows(self, credential: Credential) -> bool:
        """A secret that was changed since is the same one; one that holds the same words is as good."""
        if self.is_public:
            return True
        if credential.auth is None:
            return False
        return credential.secret in self.secrets or _hash(credential.auth) in self.secrets.values()

    def joined(self, credential: Credential) -> "_Record":
        if self.is_public or credential.auth is None:
            return _Record(is_public=True)
        others = [(secret, hashed) for secret, hashed in self.secrets.items() if secret != credential.secret]
        newest = [*others, (credential.secret, _hash(credential.auth))][-SECRETS_MAX:]
        return _Record(secrets=dict(newest))


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    """The file. `pulling` are names whose pull was begun and not ended; `lost`: an earlier file could not be read."""

    images: dict[str, dict[str, _Record]] = {}
    pulling: list[str] = []
    lost: bool = False


class PulledImages:
    """The records of a node, in a file of `directory`; `save` writes them, `aside` of the event loop."""

    def __init__(
        self, directory: Path, aside: Callable[[Callable[[], None]], Awaitable[None]] = asyncio.to_thread
    ) -> None:
        self._aside = aside
        self._path = directory / _FILE
        self._kept = self._read()
        self._interrupted = frozenset(self._kept.pulling)
        self._pulls: Counter[str] = Counter()
        self._version = self._written = 0
        self._lock = threading.Lock()

    def begin(self, reference: str) -> None:
        """A pull is about to begin; `save` this first."""
        name = _name(reference)
        self._pulls[name] += 1
        if name not in self._kept.pulling:
            self._kept.pulling.append(name)
            self._version += 1

    def failed(self, reference: str, *, is_over: bool = True) -> None:
        """The pull has brought nothing, or is left to itself; one that was left so before may still have."""
        name = _name(reference)
        self._pulls[name] -= 1
        if not is_over:
            self._interrupted |= {name}
        if self._pulls[name] <= 0 and name not in self._interrupted:
            self._end(name)

    def note(self, image_id: str, reference: str, credential: Credential) -> None:
        """The image has come under that name with that credential."""
        name, repository = _name(reference), _repository(reference)
        of_image = self._kept.images.pop(image_id, {})
        before = of_image.get(repository, _Record())
        self._kept.images[image_id] = {**of_image, repository: before.joined(credential)}
        for oldest in list(self._kept.images)[:-IMAGES_MAX]:
            del self._kept.images[oldest]
        self._version += 1
        self._pulls[name] -= 1
        self._interrupted -= {name}
        if self._pulls[name] <= 0:
            self._end(name)

    def may_use(self, image: Image, reference: str, credentials: Sequence[Credential]) -> bool:
        """Whether a pod with those credentials may run the image that is here, without a registry being asked."""
        of_image = self._kept.images.get(image.id)
        if of_image is None:
            return not self._kept.lost and not any(name in self._kept.pulling for name in _names(image, reference))
        record = of_image.get(_repository(reference))
        if record is not None:
            return any(map(record.allows, credentials))
        # By its id no registry can be asked for it; what some registry gives to anybody needs no asking.
        return _is_id(reference, image.id) and any(record.is_public for record in of_image.values())

    async def save(self) -> None:
        """Write what was noted so far, so that it outlives a loss of power. Raises OSError."""
        version, content = self._version, msgspec.json.encode(self._kept)
        await self._aside(lambda: self._write(version, content))

    def _write(self, version: int, content: bytes) -> None:
        with self._lock:
            if version > self._written:
                _write(self._path, content)
                self._written = version

    def _end(self, name: str) -> None:
        del self._pulls[name]
        if name in self._kept.pulling:
            self._kept.pulling.remove(name)
            self._version += 1

    def _read(self) -> _Kept:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return _Kept()
        except (OSError, msgspec.DecodeError) as error:
            text = "cannot be read: until it is removed, each image is asked of its registry once"
            _log.warning("pulled images %s", logs.fields(file=self._path, fault=text, error=error))
            return _Kept(lost=True)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def _repository(reference: str) -> str:
    """By name without tag or digest: who may have one tag of a repository may have the others."""
    try:
        return references.parse(reference).repository
    except Invalid:
        return ""


def _name(reference: str) -> str:
    """One spelling of what may be pulled."""
    try:
        parsed = references.parse(reference)
    except Invalid:
        return reference
    return str(parsed.at(parsed.digest) if parsed.digest else parsed)


def _names(image: Image, reference: str) -> Iterator[str]:
    yield from map(_name, (reference, *image.repo_tags, *image.repo_digests))


def _is_id(reference: str, image_id: str) -> bool:
    """Whether it is the image's id or its beginning, no name."""
    return image_id.removeprefix("sha256:").startswith(reference.removeprefix("sha256:"))


def _hash(auth: AuthConfig) -> str:
    words = (auth.username, auth.password, auth.auth, auth.identity_token, auth.registry_token)
    return hashlib.sha256("\0".join(words).encode()).hexdigest()
