"""Upload sessions: blobs that arrive in several requests. They live for an hour after their last use, in this process.

A restart forgets them; clients then start again, as the specification allows. Only one request at a time may write.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from knarr.base.errors import TooMany
from knarr.images.content import ContentStore, Ingest
from knarr.registry.errors import Failure

TTL_SECONDS = 3600.0
COUNT_MAX = 1024


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

    def expire(self) -> None:
        """Drop what nobody wrote to for an hour."""
        oldest = self._now() - TTL_SECONDS
        for session in [s for s in self._sessions.values() if s.used_at < oldest and not s.is_busy]:
            self.close(session)

    def close_all(self) -> None:
        for session in list(self._sessions.values()):
            self.close(session)
