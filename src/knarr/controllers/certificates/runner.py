"""Acts on certificate signing requests as decisions.py says: approves, signs, fails and deletes them."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from knarr.base import logs
from knarr.base.clock import Clock, rfc3339
from knarr.base.errors import Conflict, Invalid, KnarrError, NotFound
from knarr.base.tasks import Ready
from knarr.client.cache import Cache, Changed
from knarr.client.client import Client, DeleteOptions
from knarr.controllers.certificates import decisions
from knarr.controllers.certificates.decisions import AskApproval, Delete, Fail, Json, Sign, Wait
from knarr.controllers.queue import WorkQueue
from knarr.kinds.certificates import CERTIFICATESIGNINGREQUEST, SUBJECTACCESSREVIEW
from knarr.wire import signing
from knarr.wire.tls import KeyPair

_log = logs.log("controllers")
RETRY_SECONDS: Final = 5.0


@dataclass(slots=True)
class Certificates:
    """`authority` reads the cluster's CA when something is to be signed."""

    client: Client
    cache: Cache
    clock: Clock
    authority: Callable[[], KeyPair]
    _queue: WorkQueue[str] = field(init=False)

    def __post_init__(self) -> None:
        self._queue = WorkQueue("certificates", self._work, concurrency=1)
        self.cache.listen(self._changed, kinds=(CERTIFICATESIGNINGREQUEST,))

    @property
    def is_idle(self) -> bool:
        return self._queue.is_idle

    async def run(self, ready: Ready) -> None:
        """Until cancelled."""
        for held in self.cache.held_all(CERTIFICATESIGNINGREQUEST):
            self._queue.add(held.metadata.name)
        await self._queue.run(ready)

    def _changed(self, changed: Changed) -> None:
        if changed.new is None:
            self._queue.forget(changed.held.metadata.name)
        else:
            self._queue.add(changed.held.metadata.name)

    async def _work(self, name: str) -> None:
        held = self.cache.held(CERTIFICATESIGNINGREQUEST, "", name)
        if held is None:
            return
        try:
            await self._act(msgspec.json.decode(held.raw))
        except (Conflict, NotFound):
            return  # it changed meanwhile, which the cache is about to say
        except (KnarrError, OSError) as error:
            _log.info("certificatesigningrequest %s failed %s", name, logs.fields(error=error))
            self._queue.add_after(name, RETRY_SECONDS)

    async def _act(self, csr: Json) -> None:
        now = self.clock.now()
        match decisions.decision(csr, now):
            case Wait(until):
                if until is not None:
                    self._queue.add_after(csr["metadata"]["name"], (until - now).total_seconds())
            case AskApproval(permissions):
                await self._ask(csr, permissions)
            case Sign() as sign:
                await self._sign(csr, sign)
            case Fail(reason, message):
                await self._write(csr, "status", condition=("Failed", reason, message))
            case Delete(why):
                metadata = csr["metadata"]
                _log.info("certificatesigningrequest %s deleted %s", metadata["name"], logs.fields(why=why))
                options = DeleteOptions(uid=metadata["uid"])
                await self.client.delete(CERTIFICATESIGNINGREQUEST, "", metadata["name"], options)

    async def _ask(self, csr: Json, permissions: tuple[tuple[str, str], ...]) -> None:
        for subresource, message in permissions:
            if await self._may(csr["spec"], subresource):
                await self._write(csr, "approval", condition=("Approved", "AutoApproved", message))
                return

    async def _may(self, spec: Json, subresource: str) -> bool:
        wanted = {
            "group": "certificates.k8s.io", "resource": "certificatesigningrequests", "verb": "create",
            "subresource": subresource, "version": "*",
        }  # fmt: skip
        review: Json = {
            "apiVersion": SUBJECTACCESSREVIEW.api_version,
            "kind": SUBJECTACCESSREVIEW.kind,
            "spec": {"user": spec.get("username", ""), "groups": spec.get("groups") or [],
                     "uid": spec.get("uid", ""), "extra": spec.get("extra") or {}, "resourceAttributes": wanted},
        }  # fmt: skip
        answered = await self.client.create(SUBJECTACCESSREVIEW, "", review)
        return bool((answered.get("status") or {}).get("allowed"))

    async def _sign(self, csr: Json, sign: Sign) -> None:
        try:
            made = signing.signed(self.authority(), sign.request, sign.usages, sign.lifetime, self.clock.now())
        except Invalid as error:
            await self._write(csr, "status", condition=("Failed", "SigningError", str(error)))
            return
        await self._write(csr, "status", certificate=base64.b64encode(made).decode())

    async def _write(
        self, csr: Json, subresource: str, *, condition: tuple[str, str, str] | None = None, certificate: str = ""
    ) -> None:
        current = dict(csr.get("status") or {})
        if condition is not None:
            name, reason, message = condition
            moment = rfc3339(self.clock.now())
            added = {"type": name, "status": "True", "reason": reason, "message": message,
                     "lastUpdateTime": moment, "lastTransitionTime": moment}  # fmt: skip
            current["conditions"] = [*(current.get("conditions") or ()), added]
        if certificate:
            current["certificate"] = certificate
        wanted = {**csr, "status": current}
        await self.client.update(
            CERTIFICATESIGNINGREQUEST, "", csr["metadata"]["name"], wanted, subresource=subresource
        )
