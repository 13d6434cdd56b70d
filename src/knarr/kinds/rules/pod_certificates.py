"""Checks of PodCertificateRequest: who asks, for how long, and what a signer may answer. Texts are upstream's.

The answer is judged by its fields: that the chain's first certificate is of the key asked for, and of the times that
the status names, is not compared.
"""

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from knarr.base import clock
from knarr.base.errors import Cause, Invalid
from knarr.kinds.rules import certificates, conditions
from knarr.objects import faults, names
from knarr.wire import signing

Json = dict[str, Any]
UID_MAX: Final = 128
REQUEST_BYTES_MAX: Final = 10 * 1024
CHAIN_MAX: Final = 100 * 1024
SECONDS_MIN: Final = 3600
SECONDS_MAX_OF_KUBERNETES: Final = 24 * 3600
SECONDS_MAX: Final = 91 * 24 * 3600
FINAL: Final = ("Issued", "Denied", "Failed")
PARTIES: Final = (("podName", "podUID"), ("serviceAccountName", "serviceAccountUID"), ("nodeName", "nodeUID"))
# Field of an answer, and what must be there.
TIMES: Final = (
    ("notBefore", "must be present and consistent with the issued certificate"),
    ("notAfter", "must be present and consistent with the issued certificate"),
    ("beginRefreshAt", "must be present and in the range [notbefore+10min, notafter-10min]"),
)
MARGIN: Final = timedelta(minutes=10)


def request(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    signer = spec.get("signerName", "")
    yield from certificates.signer(signer, "spec.signerName")
    for key in spec.get("unverifiedUserAnnotations") or ():
        yield from faults.each("spec.unverifiedUserAnnotations", key, names.prefixed(key.lower()))
    for name, uid in PARTIES:
        yield from faults.each(f"spec.{name}", spec.get(name, ""), names.dns_subdomain(spec.get(name, "")))
        if not spec.get(uid):
            yield faults.invalid(f"spec.{uid}", "", "must not be empty")
        elif len(spec[uid].encode()) > UID_MAX:
            yield faults.too_long(f"spec.{uid}", UID_MAX)
    yield from _seconds(spec, signer)
    yield from _key(spec.get("stubPKCS10Request", ""))


def _seconds(spec: Json, signer: str) -> Iterator[Cause]:
    seconds, field = spec.get("maxExpirationSeconds"), "spec.maxExpirationSeconds"
    domain = signer.partition("/")[0]
    is_own = domain == "kubernetes.io" or domain.endswith(".kubernetes.io")
    most = SECONDS_MAX_OF_KUBERNETES if is_own else SECONDS_MAX
    if seconds is None:
        yield faults.required(field, "must be set")
    elif not SECONDS_MIN <= seconds <= most:
        yield faults.invalid(field, seconds, f"must be in the range [{SECONDS_MIN}, {most}]")


def _key(encoded: str) -> Iterator[Cause]:
    field, stub = "spec.stubPKCS10Request", base64.b64decode(encoded)
    if len(stub) > REQUEST_BYTES_MAX:
        yield faults.too_long(field, REQUEST_BYTES_MAX)
        return
    lines = base64.encodebytes(stub).decode()
    try:
        signing.asked(f"-----BEGIN CERTIFICATE REQUEST-----\n{lines}-----END CERTIFICATE REQUEST-----\n".encode())
    except Invalid as error:
        yield faults.invalid(field, encoded, str(error))


def status(new: Json, old: Json) -> Iterator[Cause]:
    now, was = new.get("status") or {}, old.get("status") or {}
    listed = now.get("conditions") or []
    wrong = [*_known(listed), *conditions.each(listed, "status.conditions")]
    yield from wrong
    if wrong:
        return
    if any(conditions.is_true(old, kind) for kind in FINAL):
        if now != was:
            yield faults.bad("status", "immutable after PodCertificateRequest is issued, denied, or failed")
    elif conditions.is_true(new, "Issued"):
        yield from _issued(now)
    elif listed:
        if now.keys() - {"conditions"}:
            detail = "non-condition status fields must be empty when denying or failing the PodCertificateRequest"
            yield faults.bad("status", detail)
    elif now != was:
        yield faults.bad("status", 'status is immutable unless transitioning to "Issued", "Denied", or "Failed"')


def _known(listed: list[Json]) -> Iterator[Cause]:
    """At most one of the known conditions, and it is true."""
    for index, each in enumerate(listed):
        field, kind = f"status.conditions[{index}]", each.get("type", "")
        if kind not in FINAL:
            yield faults.unsupported(f"{field}.type", kind, FINAL)
            continue
        if index:
            detail = 'There may be at most one condition with type "Issued", "Denied", or "Failed"'
            yield faults.invalid(f"{field}.type", kind, detail)
        if each.get("status") != "True":
            yield faults.unsupported(f"{field}.status", each.get("status", ""), ("True",))


def _issued(now: Json) -> Iterator[Cause]:
    chain, field = now.get("certificateChain", ""), "status.certificateChain"
    if len(chain.encode()) > CHAIN_MAX:
        yield faults.too_long(field, CHAIN_MAX)
        return
    if "-----BEGIN " not in chain:
        yield faults.invalid(field, chain, "issued certificate chain must contain at least one certificate")
        return
    if chain.count("-----BEGIN ") != chain.count("-----BEGIN CERTIFICATE-----"):
        yield faults.invalid(field, chain, "issued certificate chain must consist entirely of CERTIFICATE PEM blocks")
        return
    missing = [(key, why) for key, why in TIMES if not now.get(key)]
    for key, why in missing:
        yield faults.required(f"status.{key}", why)
    if missing:
        return
    begin, end, refresh = (clock.parse_rfc3339(now[key]) for key, _ in TIMES)
    # Differences: a moment and a margin may be after the last one that there is.
    if refresh - begin < MARGIN:
        detail = "must be at least 10 minutes after status.notBefore"
        yield faults.invalid("status.beginRefreshAt", now["beginRefreshAt"], detail)
    elif end - refresh < MARGIN:
        detail = "must be at least 10 minutes before status.notAfter"
        yield faults.invalid("status.beginRefreshAt", now["beginRefreshAt"], detail)
