"""What becomes of a certificate signing request: wait, ask whether to approve, sign, fail, or delete. Pure.

The signers are upstream's four: kube-apiserver-client, kube-apiserver-client-kubelet, kubelet-serving and
legacy-unknown; those of others are left to their controllers. A *kubelet's* client request is approved by itself when
its requester may create `certificatesigningrequests/selfnodeclient` (or `nodeclient`).
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from knarr.base.clock import Instant, parse_rfc3339
from knarr.base.errors import Invalid
from knarr.wire import signing
from knarr.wire.signing import Asked

Json = dict[str, Any]
LIFETIME_MAX: Final = timedelta(days=365)
LIFETIME_MIN: Final = timedelta(minutes=10)
PENDING_KEPT, DECIDED_KEPT = timedelta(hours=24), timedelta(hours=1)
"""How long upstream keeps requests that nobody decided, and those that somebody did."""
_NODE, _NODES = "system:node:", "system:nodes"
_KUBELET_CLIENT: Final = frozenset(("digital signature", "client auth"))
_KUBELET_SERVING: Final = frozenset(("digital signature", "server auth"))
_ENCIPHERMENT: Final = frozenset(("key encipherment",))
_CLIENT: Final = frozenset(("digital signature", "key encipherment", "client auth"))


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before that moment (None: before it changes)."""

    until: Instant | None = None


@dataclass(frozen=True, slots=True)
class AskApproval:
    """Approve if the requester may create one of these subresources of certificatesigningrequests."""

    permissions: tuple[tuple[str, str], ...]
    """(subresource, the message of the approval)"""


@dataclass(frozen=True, slots=True)
class Sign:
    request: bytes
    usages: tuple[str, ...]
    lifetime: timedelta


@dataclass(frozen=True, slots=True)
class Fail:
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Delete:
    why: str


Decision = Wait | AskApproval | Sign | Fail | Delete


def decision(csr: Json, now: Instant) -> Decision:
    """What to do with the request now."""
    spec, current = csr.get("spec") or {}, csr.get("status") or {}
    conditions = {each["type"]: each for each in current.get("conditions") or ()}
    kept, since = _kept(csr, conditions)
    if now >= since + kept:
        return Delete(f"older than {kept}")
    signer = SIGNERS.get(spec.get("signerName", ""))
    end = Wait(since + kept)
    if signer is None or "Denied" in conditions or "Failed" in conditions or current.get("certificate"):
        return end
    try:
        request = base64.b64decode(spec.get("request") or "")
        asked = signing.asked(request)
    except (Invalid, ValueError) as error:
        return Fail("SignerValidationFailure", str(error)) if "Approved" in conditions else end
    if "Approved" not in conditions:
        return _approval(spec, asked) or end
    fault = signer(asked, frozenset(spec.get("usages") or ()))
    if fault:
        return Fail("SignerValidationFailure", fault)
    return Sign(request, tuple(spec.get("usages") or ()), lifetime(spec.get("expirationSeconds")))


def lifetime(seconds: int | None) -> timedelta:
    """How long the certificate lives: what was asked for within bounds."""
    if seconds is None:
        return LIFETIME_MAX
    return max(LIFETIME_MIN, min(LIFETIME_MAX, timedelta(seconds=seconds)))


def _kept(csr: Json, conditions: dict[str, Json]) -> tuple[timedelta, Instant]:
    """How long a request is kept, and since when."""
    for name in ("Approved", "Denied", "Failed"):
        if name in conditions:
            given = conditions[name].get("lastUpdateTime")
            return DECIDED_KEPT, parse_rfc3339(given or csr["metadata"]["creationTimestamp"])
    return PENDING_KEPT, parse_rfc3339(csr["metadata"]["creationTimestamp"])


def _approval(spec: Json, asked: Asked) -> AskApproval | None:
    """Kubelets' client requests are approved by themselves."""
    if spec.get("signerName") != KUBELET_CLIENT or kubelet_client(asked, frozenset(spec.get("usages") or ())):
        return None
    permissions = [("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.")]
    if spec.get("username") == asked.common_name:
        text = "Auto approving self kubelet client certificate after SubjectAccessReview."
        permissions.insert(0, ("selfnodeclient", text))
    return AskApproval(tuple(permissions))


# -- what the signers refuse: "" or why ------------------------------------------------------------------------------


def client(asked: Asked, usages: frozenset[str]) -> str:
    if not usages <= _CLIENT or "client auth" not in usages:
        return f"usages did not match {sorted(_CLIENT)}"
    return ""


def kubelet_client(asked: Asked, usages: frozenset[str]) -> str:
    if usages - _ENCIPHERMENT != _KUBELET_CLIENT:
        return f"usages did not match {sorted(_KUBELET_CLIENT)}"
    if asked.dns_names or asked.addresses or asked.emails or asked.uris:
        return "subject alternative names are not allowed"
    return _node_subject(asked)


def kubelet_serving(asked: Asked, usages: frozenset[str]) -> str:
    if usages - _ENCIPHERMENT != _KUBELET_SERVING:
        return f"usages did not match {sorted(_KUBELET_SERVING)}"
    if asked.emails or asked.uris:
        return "Email and URI subjectAltNames are not allowed"
    if not asked.dns_names and not asked.addresses:
        return "DNS or IP subjectAltName is required"
    return _node_subject(asked)


def _node_subject(asked: Asked) -> str:
    if asked.organizations != (_NODES,):
        return "subject organization is not system:nodes"
    if not asked.common_name.startswith(_NODE):
        return "subject common name does not begin with system:node: "
    return ""


def anything(asked: Asked, usages: frozenset[str]) -> str:
    return ""


KUBELET_CLIENT: Final = "kubernetes.io/kube-apiserver-client-kubelet"
# signerName → what it refuses.
SIGNERS: Final[dict[str, Callable[[Asked, frozenset[str]], str]]] = {
    "kubernetes.io/kube-apiserver-client": client,
    KUBELET_CLIENT: kubelet_client,
    "kubernetes.io/kubelet-serving": kubelet_serving,
    "kubernetes.io/legacy-unknown": anything,
}
