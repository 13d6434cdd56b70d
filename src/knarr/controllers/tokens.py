"""Long-lived tokens: Secrets of type kubernetes.io/service-account-token are filled, and go with their account.

The token is asked for by TokenRequest, bound to the Secret: with the Secret it dies. Short-lived tokens of pods are the
kubelet's (kubelet/tokens.py). Spec: "Managing Service Accounts: token controller".
"""

import base64
from dataclasses import dataclass, field
from typing import Final

from knarr.base import logs
from knarr.base.backoff import Backoff, BackoffRule
from knarr.base.clock import Clock
from knarr.base.errors import Conflict, KnarrError, NotFound
from knarr.base.tasks import Ready
from knarr.client.cache import Cache, Changed
from knarr.client.client import Client, DeleteOptions, Json
from knarr.controllers.queue import WorkQueue
from knarr.kinds.core_config import SECRET, SERVICEACCOUNT
from knarr.kinds.lens.config import Secret, ServiceAccount

_log = logs.log("controllers")
TYPE: Final = "kubernetes.io/service-account-token"
ACCOUNT: Final = "kubernetes.io/service-account.name"
ACCOUNT_UID: Final = "kubernetes.io/service-account.uid"
SECONDS: Final = 2**32
"""The longest life that the API gives a token: 136 years."""
RETRY: Final = BackoffRule(first=0.1, cap=30.0, reset_after=120.0)

Key = tuple[str, str]


@dataclass(slots=True)
class LongTokens:
    """Fills token Secrets with the account's token, the cluster's CA (PEM, "" without one) and the namespace."""

    client: Client
    cache: Cache
    clock: Clock
    root_ca: str
    _queue: WorkQueue[Key] = field(init=False)
    _backoffs: dict[Key, Backoff] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._queue = WorkQueue("token-controller", self._work)
        self.cache.listen(self._changed, kinds=(SECRET, SERVICEACCOUNT))

    @property
    def is_idle(self) -> bool:
        return self._queue.is_idle

    async def run(self, ready: Ready) -> None:
        """Until cancelled."""
        for secret in self.cache.list(Secret):
            self._consider(secret)
        await self._queue.run(ready)

    def _changed(self, changed: Changed) -> None:
        if changed.kind == SECRET:
            if changed.new is not None:
                self._consider(changed.new.lens(Secret))
            else:
                self._backoffs.pop(changed.held.key, None)
            return
        for secret in self.cache.list(Secret, changed.held.metadata.namespace):
            if secret.metadata.annotations.get(ACCOUNT) == changed.held.metadata.name:
                self._consider(secret)

    def _consider(self, secret: Secret) -> None:
        if secret.type == TYPE and secret.metadata.deletion_timestamp is None:
            self._queue.add((secret.metadata.namespace, secret.metadata.name))

    async def _work(self, key: Key) -> None:
        secret = self.cache.get(Secret, *key)
        if secret is None or secret.type != TYPE:
            return
        try:
            await self._mend(secret)
        except (NotFound, Conflict):
            return  # Gone or changed: what changed it brings it back here.
        except (KnarrError, OSError) as error:
            _log.info("secret %s/%s got no token %s", *key, logs.fields(error=error))
            backoff = self._backoffs[key] = self._backoffs.get(key, Backoff()).failed(self.clock.now(), RETRY)
            self._queue.add_after(key, backoff.delay(RETRY))
        else:
            self._backoffs.pop(key, None)

    async def _mend(self, secret: Secret) -> None:
        meta = secret.metadata
        uid = await self._account_uid(meta.namespace, meta.annotations.get(ACCOUNT, ""))
        if not is_of(secret, uid):
            await self.client.delete(SECRET, meta.namespace, meta.name, DeleteOptions(uid=meta.uid))
            return
        wanted = missing(secret, self.root_ca)
        if "token" in wanted:
            asked = request(secret)
            name = meta.annotations[ACCOUNT]
            answer = await self.client.create(SERVICEACCOUNT, meta.namespace, asked, name=name, subresource="token")
            wanted["token"] = encoded(answer["status"]["token"])
        if wanted or meta.annotations.get(ACCOUNT_UID) != uid:
            guards = {"uid": meta.uid, "resourceVersion": meta.resource_version}
            body = {"metadata": {**guards, "annotations": {ACCOUNT_UID: uid}}, "data": wanted}
            await self.client.patch(SECRET, meta.namespace, meta.name, body)

    async def _account_uid(self, namespace: str, name: str) -> str:
        """The account's uid; "" if there is none, which only the server can say: the view may know the Secret first."""
        account = self.cache.get(ServiceAccount, namespace, name)
        if account is not None:
            return account.metadata.uid
        try:
            live = await self.client.get(SERVICEACCOUNT, namespace, name) if name else {}
        except NotFound:
            return ""
        return str(live.get("metadata", {}).get("uid", ""))


def is_of(secret: Secret, account_uid: str) -> bool:
    """Whether the account exists and is the one that the Secret was made for."""
    return bool(account_uid) and secret.metadata.annotations.get(ACCOUNT_UID, account_uid) == account_uid


def missing(secret: Secret, root_ca: str) -> Json:
    """The entries of `data` that are absent or not what they must be; the token's value is "" here."""
    wanted = {"namespace": encoded(secret.metadata.namespace)} | ({"ca.crt": encoded(root_ca)} if root_ca else {})
    found: Json = {key: value for key, value in wanted.items() if secret.data.get(key) != value}
    return found | ({} if secret.data.get("token") else {"token": ""})


def request(secret: Secret) -> Json:
    """The TokenRequest, bound to the Secret."""
    meta = secret.metadata
    bound = {"apiVersion": "v1", "kind": "Secret", "name": meta.name, "uid": meta.uid}
    spec = {"audiences": [], "expirationSeconds": SECONDS, "boundObjectRef": bound}
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}


def encoded(text: str) -> str:
    """As `data` of a Secret holds it."""
    return base64.b64encode(text.encode()).decode()
