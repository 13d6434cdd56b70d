"""Bootstrap tokens: Secrets of kube-system with which a node that has nothing else introduces itself.

A token `ID.SECRET` is the user system:bootstrap:ID in system:bootstrappers and the groups that its Secret adds.
`run` deletes expired ones; one timer stands for the next to expire. Spec: "Authenticating with Bootstrap Tokens".
"""

import asyncio
import base64
import hmac
import re
from typing import Final

import msgspec

from knarr.apiserver.authn import AUTHENTICATED
from knarr.apiserver.context import User
from knarr.base.clock import Clock, Instant, parse_rfc3339
from knarr.base.errors import Expired, KnarrError
from knarr.base.tasks import Ready
from knarr.store.store import Entry, Store

PREFIX: Final = "/registry/secrets/kube-system/bootstrap-token-"
TYPE: Final = "bootstrap.kubernetes.io/token"
GROUP: Final = "system:bootstrappers"
TOKEN: Final = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})", re.ASCII)
_GROUP: Final = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]", re.ASCII)
_WAIT_MAX: Final = 3600.0


class _Metadata(msgspec.Struct, rename="camel"):
    deletion_timestamp: str | None = None


class _Secret(msgspec.Struct):
    metadata: _Metadata
    type: str = ""
    data: dict[str, str] | None = None

    def text(self, key: str) -> str:
        """A value of `data`; "" when it is absent or no text."""
        try:
            return base64.b64decode((self.data or {}).get(key, ""), validate=True).decode()
        except ValueError:
            return ""


_decode = msgspec.json.Decoder(_Secret).decode


def user(store: Store, token: str, now: Instant) -> User | None:
    """Whom the token speaks for now, or None."""
    match = TOKEN.fullmatch(token)
    entry = store.get(PREFIX + match[1]) if match else None
    if match is None or entry is None:
        return None
    secret = _decode(entry.value)
    if secret.type != TYPE or secret.metadata.deletion_timestamp or secret.text("token-id") != match[1]:
        return None
    if not hmac.compare_digest(secret.text("token-secret"), match[2]):
        return None
    expires = _expires(entry)
    if (expires is not None and expires <= now) or secret.text("usage-bootstrap-authentication") != "true":
        return None
    extra = [group for group in secret.text("auth-extra-groups").split(",") if group]
    if not all(_GROUP.fullmatch(group) for group in extra):
        return None
    return User(f"system:bootstrap:{match[1]}", tuple(dict.fromkeys((GROUP, *extra, AUTHENTICATED))))


def _expires(entry: Entry) -> Instant | None:
    """When the token ends; one that cannot be read has ended, as upstream."""
    secret = _decode(entry.value)
    text = secret.text("expiration")
    if secret.type != TYPE or not text:
        return None
    try:
        return parse_rfc3339(text)
    except (KnarrError, ValueError):
        return parse_rfc3339("1970-01-01T00:00:00Z")


async def run(store: Store, clock: Clock, ready: Ready) -> None:
    """Delete tokens as they expire, until cancelled."""
    while True:
        watcher = store.watch(PREFIX, store.revision)
        ready()
        try:
            while True:
                soonest = await _delete_expired(store, clock.now())
                loop = asyncio.get_running_loop()
                alarm = None
                if soonest is not None:
                    wait = min(_WAIT_MAX, max(0.0, (soonest - clock.now()).total_seconds()) + 0.01)
                    alarm = loop.call_later(wait, watcher.nudge)
                await watcher.batch()
                if alarm is not None:
                    alarm.cancel()
        except Expired:
            continue
        except StopAsyncIteration:
            return
        finally:
            watcher.close()


async def _delete_expired(store: Store, now: Instant) -> Instant | None:
    """The moment at which the next one expires; None when there is none."""
    waiting = []
    for entry in store.list(PREFIX).entries:
        expires = _expires(entry)
        if expires is None:
            continue
        if expires > now:
            waiting.append(expires)
            continue
        try:
            await store.write(entry.key, None, expect=entry.modified)
        except KnarrError:
            continue  # it changed, which the watcher says, or the store is ill, which everybody hears
    return min(waiting, default=None)
