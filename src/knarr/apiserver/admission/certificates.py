"""CertificateApproval, CertificateSigning, CertificateSubjectRestriction and ClusterTrustBundleAttest.

Approving (or denying) needs the verb `approve` on the request's signer, issuing needs `sign`, a trust bundle `attest`;
nobody gets a client certificate of system:masters by a request. Spec: "Certificates and Certificate Signing Requests",
authorization.
"""

import base64
from typing import Final

from knarr.apiserver import status
from knarr.apiserver.access import Attributes
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.base.clock import rfc3339
from knarr.base.errors import Invalid
from knarr.kinds.rules import certificates as rules
from knarr.wire import signing

GROUP: Final = "certificates.k8s.io"
CLIENT: Final = "kubernetes.io/kube-apiserver-client"
MASTERS: Final = "system:masters"
DECIDED: Final = ("Approved", "Denied")


def conditions(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """What a status write may not touch (Approved, Denied) stays, and new conditions get their times."""
    stored = context.resource.stored
    if old is None or stored.kind != "CertificateSigningRequest" or stored.group != GROUP or "status" not in obj:
        return obj
    given = (obj["status"] or {}).get("conditions") or []
    live = (old.get("status") or {}).get("conditions") or []
    if context.route.subresource == "status":
        given = [*(each for each in live if each["type"] in DECIDED), *(e for e in given if e["type"] not in DECIDED)]
    if not given and "conditions" not in obj["status"]:
        return obj
    now = rfc3339(context.server.clock.now())
    times = {"lastUpdateTime": now, "lastTransitionTime": now}
    filled = [{**each, **{key: each.get(key) or moment for key, moment in times.items()}} for each in given]
    return {**obj, "status": {**obj["status"], "conditions": filled}}


def check(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """Refuse who may not approve or sign, and requests for masters."""
    stored = context.resource.stored
    if stored.group != GROUP:
        return obj
    if stored.kind == "ClusterTrustBundle":
        if (obj.get("spec") or {}).get("signerName"):
            _need(context, obj, "attest")
        return obj
    if old is None:
        _check_subject(obj)
        return obj
    if context.route.subresource == "approval":
        _need(context, old, "approve")
    elif context.route.subresource == "status" and _signs(obj, old):
        _need(context, old, "sign")
    faults = list(rules.status_change(obj, old))
    if faults:
        raise status.invalid(stored.kind, GROUP, old["metadata"]["name"], faults)
    return obj


def _signs(obj: Json, old: Json) -> bool:
    new, live = obj.get("status") or {}, old.get("status") or {}
    return new.get("certificate") != live.get("certificate") or _failed(new) != _failed(live)


def _failed(current: Json) -> bool:
    return any(each.get("type") == "Failed" for each in current.get("conditions") or ())


def _need(context: RequestContext, csr: Json, verb: str) -> None:
    signer = csr["spec"].get("signerName", "")
    domain = signer.partition("/")[0]
    for name in (signer, f"{domain}/*"):
        if context.server.decide(context.user, Attributes(verb, GROUP, "*", "signers", name=name)).is_allowed:
            return
    what = "attest for" if verb == "attest" else f"{verb} requests with"
    text = f'user not permitted to {what} signerName "{signer}"'
    raise status.forbidden(context.resource.qualified, csr["metadata"]["name"], text)


def _check_subject(obj: Json) -> None:
    spec = obj.get("spec") or {}
    if spec.get("signerName") != CLIENT:
        return
    try:
        asked = signing.asked(base64.b64decode(spec.get("request") or ""))
    except (Invalid, ValueError):
        return  # validation says so in better words
    if MASTERS in asked.organizations:
        text = f"use of {CLIENT} signer with {MASTERS} group is not allowed"
        raise status.forbidden(f"certificatesigningrequests.{GROUP}", obj["metadata"].get("name", ""), text)
