"""Upload sessions: blobs that arrive in several requests. They live for an hour after their last use, in this process.

A restart forgets them; clients then start again, as the specification allows. Only one request at a time may write.
"""

import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from knarr.base.errors import TooMany
from knarr.images.content import ContentStore, Ingest
from knarr.oci.digest import Digest
from knarr.registry.errors import Failure

TTL_SECONDS = 3600.0
COUNT_MAX = 256
"""Each holds a file open, and a process may have only 1,024 of them."""
_REPOSITORIES_MAX, _BLOBS_MAX = 256, 4096
_REFRESH_SECONDS = 30.0
"""Far below every grace period of garbage collection."""


@dataclass(slots=True)
class Session:
    """One upload on its way."""

    id: str
    name: str
    ingest: Ingest
    used_at: float
    is_busy: bool = False


class Sessions:
    """The open uploads of one registry."""

    def __init__(self, now: Callable[[], float] = time.monotonic, count_max: int = COUNT_MAX) -> None:
        self._now = now
        self._count_max = count_max
        self._sessions: dict[str, Session] = {}
        self._pushed: OrderedDict[str, deque[Digest]] = OrderedDict()
        self._refreshed_at = now()

    def open(self, name: str, content: ContentStore) -> Session:
        """A new session. Raises TooMany when too many are open."""
        self.expire()
        if len(self._sessions) >= self._count_max:
            raise TooMany(f"{self._count_max} uploads are open already", after=60)
        session = Session(secrets.token_hex(16), name, content.ingest(), self._now())
        self._sessions[session.id] = session
        return session

    def get(self, name: str, identity: str) -> Session:
        """The session of that repository. Raises Failure when it is unknown, expired, or written by another request."""
        self.expire()
        session = self._sessions.get(identity)
        if session is None or session.name != name:
            raise Failure("BLOB_UPLOAD_UNKNOWN", f"upload {identity[:64]!r} is not known to {name}")
        if session.is_busy:
            raise Failure("BLOB_UPLOAD_INVALID", f"upload {identity} is being written by another request", status=409)
        session.used_at = self._now()
        return session

    def close(self, session: Session) -> None:
        """Forget a session whose blob is committed or refused; what it wrote is dropped."""
        self._sessions.pop(session.id, None)
        session.ingest.abort()

    def arriving(self, name: str = "") -> int:
        """Bytes that are on their way in: to one repository, or to all."""
        return sum(s.ingest.size for s in self._sessions.values() if name in ("", s.name))

    def used(self, session: Session) -> None:
        """Bytes came until now."""
        session.used_at = self._now()

    def pushed(self, name: str, digest: Digest) -> None:
        """The repository got a blob that no manifest of it refers to yet."""
        self._pushed.setdefault(name, deque(maxlen=_BLOBS_MAX)).append(digest)
        self._pushed.move_to_end(name)
        if len(self._pushed) > _REPOSITORIES_MAX:
            self._pushed.popitem(last=False)

    def referred(self, name: str) -> None:
        """A manifest of the repository came: names keep its blobs from now on."""
        self._pushed.pop(name, None)

    def refresh(self, session: Session, content: ContentStore) -> None:
        """A push that takes longer than garbage collection's grace period keeps what it brought before: while bytes
        come, the repository's blobs that wait for their manifest stay young."""
        now = self._now()
        if now - self._refreshed_at < _REFRESH_SECONDS:
            return
        self._refreshed_at = now
        for name in {session.name, *(other.name for other in self._sessions.values() if other.is_busy)}:
            for digest in self._pushed.get(name, ()):
                content.touch(digest)

    def expire(self) -> None:
        """Drop what nobody wrote to for an hour."""
        oldest = self._now() - TTL_SECONDS
        for session in [s for s in self._sessions.values() if s.used_at < oldest and not s.is_busy]:
            self.close(session)

    def close_all(self) -> None:
        for session in list(self._sessions.values()):
            self.close(session)
