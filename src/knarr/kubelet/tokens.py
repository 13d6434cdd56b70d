"""ServiceAccount tokens for projected volumes, asked for by TokenRequest and renewed at 80 % of their life.

Bound to the pod, so a token dies with it. Kept in memory only. Spec: docs "Configure Service Accounts, projection".
"""

from dataclasses import dataclass
from datetime import timedelta

from knarr.base.clock import Clock, Instant, parse_rfc3339
from knarr.client.client import Client, Json
from knarr.kinds.core_config import SERVICEACCOUNT
from knarr.kinds.lens.pod import Pod
from knarr.kubelet.volumes.files import TokenWanted

RENEW_AT = 0.8
RENEW_SECONDS_MAX = 24 * 3600


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: Instant


class TokenSource:
    """The tokens of one pod."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._tokens: dict[TokenWanted, _Token] = {}

    async def get(self, pod: Pod, wanted: TokenWanted) -> str:
        """A token with enough life left."""
        kept = self._tokens.get(wanted)
        now = self._clock.now()
        if kept is not None and kept.renew_at > now:
            return kept.text
        account = pod.spec.service_account_name or "default"
        namespace = pod.metadata.namespace
        answer = await self._client.create(
            SERVICEACCOUNT, namespace, request(pod, wanted), name=account, subresource="token"
        )
        status = answer["status"]
        life = (parse_rfc3339(status["expirationTimestamp"]) - now).total_seconds()
        renew_at = now + timedelta(seconds=min(life * RENEW_AT, RENEW_SECONDS_MAX))
        self._tokens[wanted] = _Token(status["token"], renew_at)
        return str(status["token"])

    @property
    def renew_at(self) -> Instant | None:
        """When the next token must be renewed."""
        return min((token.renew_at for token in self._tokens.values()), default=None)


def request(pod: Pod, wanted: TokenWanted) -> Json:
    """The TokenRequest, bound to the pod."""
    bound = {"apiVersion": "v1", "kind": "Pod", "name": pod.metadata.name, "uid": pod.metadata.uid}
    spec: Json = {"expirationSeconds": wanted.expiration_seconds, "boundObjectRef": bound}
    spec["audiences"] = [wanted.audience] if wanted.audience else []
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
