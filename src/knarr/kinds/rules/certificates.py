"""Checks of CertificateSigningRequest: the request, its signer and usages, and what may become of conditions."""

import base64
import re
from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause, Invalid
from knarr.objects import faults
from knarr.wire import signing

Json = dict[str, Any]
SECONDS_MIN: Final = 600
_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SIGNER: Final = re.compile(rf"(?=.{{1,571}}\Z){_LABEL}(\.{_LABEL})+/[^/].*", re.ASCII)
FINAL: Final = ("Approved", "Denied", "Failed")


def signing_request(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    try:
        signing.asked(base64.b64decode(spec.get("request") or ""))
    except (Invalid, ValueError) as error:
        yield faults.invalid("spec.request", spec.get("request"), str(error))
    if not spec.get("usages"):
        yield Cause("spec.usages", "FieldValueRequired", "Required value: usages must be provided")
    elif len({*spec["usages"]}) < len(spec["usages"]):
        yield faults.invalid("spec.usages", spec["usages"], "must not name a usage twice")
    signer = spec.get("signerName") or ""
    if not _SIGNER.fullmatch(signer):
        yield faults.invalid(
            "spec.signerName", signer, "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        )
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < SECONDS_MIN:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        yield faults.invalid("spec.expirationSeconds", seconds, text)


def _conditions(found: Json) -> Iterator[Cause]:
    types = [each.get("type") for each in (found.get("status") or {}).get("conditions") or ()]
    if "Approved" in types and "Denied" in types:
        yield faults.invalid("status.conditions", "Denied", "Approved and Denied conditions are mutually exclusive")
    for each in (found.get("status") or {}).get("conditions") or ():
        if each.get("type") in FINAL and each.get("status") != "True":
            text = f'Approved, Denied and Failed conditions must have the status "True", not {each.get("status")!r}'
            yield faults.invalid("status.conditions", each.get("status"), text)


def status_change(new: Json, old: Json) -> Iterator[Cause]:
    """What is wrong with a write of status or approval; admission asks, who alone sees those."""
    yield from _conditions(new)
    kept = {each.get("type") for each in (new.get("status") or {}).get("conditions") or ()}
    for each in (old.get("status") or {}).get("conditions") or ():
        if each.get("type") in FINAL and each["type"] not in kept:
            text = f"Forbidden: updates may not remove a condition of type {each['type']!r}".replace("'", '"')
            yield Cause("status.conditions", "FieldValueForbidden", text)
    issued = (old.get("status") or {}).get("certificate")
    if issued and (new.get("status") or {}).get("certificate") != issued:
        text = "Forbidden: updates may not modify existing certificate data"
        yield Cause("status.certificate", "FieldValueForbidden", text)
