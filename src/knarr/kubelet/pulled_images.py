"""Which images the kubelet pulled with which credentials: a pod that lacks them may not use the image unasked.

Without this, an image that one pod's pull secret brought here is there for every pod of the node. Images that came
without the kubelet (built, loaded, pulled by the user) and those that a registry gives to anybody are free to all
(upstream's policy NeverVerifyPreloadedImages). Credentials are kept as hashes alone. An image asked for by its digest
is not held back: a runtime that has it asks no registry, so nothing would be verified.
Spec: docs "Images, Ensure image pull credential verification". Pulling is images.py's.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from knarr.cri.messages.image import AuthConfig

_FILE = "pulled-images.json"
IMAGES_MAX = 10_000
"""Beyond it the oldest are forgotten, and are free to all then."""


class _Record(msgspec.Struct, frozen=True):
    """How one name of one image was pulled: by anybody, or with these credentials."""

    is_public: bool = False
    hashes: tuple[str, ...] = ()


class PulledImages:
    """The records of a node, in a file of `directory`."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _FILE
        self._records = self._read()

    def note(self, image_id: str, reference: str, auth: AuthConfig | None) -> None:
        """The image has come under that name with those credentials."""
        if auth is None and "@" in reference:
            return  # it may have been here
        key = _key(image_id, reference)
        before = self._records.pop(key, _Record())
        hashes = before.hashes if auth is None else tuple(dict.fromkeys((*before.hashes, _hash(auth))))
        self._records[key] = record = _Record(before.is_public or auth is None, hashes)
        if record == before:
            return
        for oldest in list(self._records)[:-IMAGES_MAX]:
            del self._records[oldest]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_bytes(msgspec.json.encode(self._records))
        draft.rename(self._path)

    def may_use(self, image_id: str, reference: str, auths: Sequence[AuthConfig | None]) -> bool:
        """Whether a pod with those credentials may run the image that is here, without a registry being asked."""
        record = self._records.get(_key(image_id, reference))
        if record is None or record.is_public or "@" in reference:
            return True
        return any(auth is not None and _hash(auth) in record.hashes for auth in auths)

    def _read(self) -> dict[str, _Record]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, _Record])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}


def _key(image_id: str, reference: str) -> str:
    """By name without tag or digest: who may have one tag of a repository may have the others."""
    name = reference.partition("@")[0]
    head, _, last = name.rpartition("/")
    return f"{image_id} {head}/{last.partition(':')[0]}"


def _hash(auth: AuthConfig) -> str:
    words = (auth.username, auth.password, auth.auth, auth.identity_token, auth.registry_token)
    return hashlib.sha256("\0".join(words).encode()).hexdigest()
