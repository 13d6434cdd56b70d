"""Checks of CertificateSigningRequest and ClusterTrustBundle: requests, signers, usages, bundles, conditions."""

import base64
import re
from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause, Invalid
from knarr.objects import faults, names
from knarr.wire import signing

Json = dict[str, Any]
SECONDS_MIN: Final = 600
FINAL: Final = ("Approved", "Denied", "Failed")
DOMAIN_MAX: Final = names.SUBDOMAIN_MAX
SIGNER_MAX: Final = DOMAIN_MAX + 1 + names.SUBDOMAIN_MAX + names.LABEL_MAX + 1
BUNDLE_BYTES_MAX: Final = 1024 * 1024
OMITTED: Final = "<value omitted>"
# A block begins at a line, and none lies in another's headers: what is tried at each beginning ends at the next one.
_BLOCK: Final = re.compile(
    r"(?m:^)-----BEGIN (?P<type>[^\r\n]*?)-----\r?\n(?P<headers>(?:(?!-----)[^\r\n:]+:[^\r\n]*\r?\n)*)"
    r"(?P<body>[A-Za-z0-9+/=\r\n\t ]*)-----END (?P=type)-----",
    re.ASCII,
)


def signing_request(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    try:
        signing.asked(base64.b64decode(spec.get("request") or ""))
    except (Invalid, ValueError) as error:
        yield faults.invalid("spec.request", spec.get("request"), str(error))
    usages = spec.get("usages") or []
    if not usages:
        yield faults.required("spec.usages", "usages must be provided")
    seen: set[str] = set()
    for index, usage in enumerate(usages):
        if usage in seen:
            yield faults.duplicate(f"spec.usages[{index}]", usage)
        seen.add(usage)
    yield from signer(spec.get("signerName") or "", "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < SECONDS_MIN:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        yield faults.invalid("spec.expirationSeconds", seconds, text)


def signer(name: str, field: str) -> Iterator[Cause]:
    """A signer's name: a domain of two labels or more, and a path."""
    if not name:
        yield faults.required(field)
        return
    domain, slash, path = name.partition("/")
    if not slash or "/" in path:
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        yield faults.invalid(field, name, text)
        return
    if len(domain) > DOMAIN_MAX:
        yield faults.too_long(field, DOMAIN_MAX)
        return
    for label in domain.split("."):
        for text in names.dns_label(label):
            yield faults.invalid(field, domain, f"validating label {faults.shown(label)}: {text}")
    if "." not in domain:
        yield faults.invalid(field, domain, "should be a domain with at least two segments separated by dots")
    if len(name) > SIGNER_MAX:
        yield faults.too_long(field, SIGNER_MAX)
        return
    for label in path.split("."):
        for text in names.dns_subdomain(label):
            yield faults.invalid(field, path, f"validating label {faults.shown(label)}: {text}")


def _conditions(found: Json) -> Iterator[Cause]:
    conditions = (found.get("status") or {}).get("conditions") or ()
    types = [each.get("type") for each in conditions]
    if "Approved" in types and "Denied" in types:
        yield faults.invalid("status.conditions", "Denied", "Approved and Denied conditions are mutually exclusive")
    seen: set[Any] = set()
    for index, each in enumerate(conditions):
        field = f"status.conditions[{index}]"
        if each.get("type") in seen:
            yield faults.duplicate(f"{field}.type", each.get("type"))
        seen.add(each.get("type"))
        if each.get("type") in FINAL and each.get("status") != "True":
            yield faults.unsupported(f"{field}.status", each.get("status", ""), ("True",))


def status_change(new: Json, old: Json) -> Iterator[Cause]:
    """What is wrong with a write of status or approval; admission asks, who alone sees those."""
    yield from _conditions(new)
    kept = {each.get("type") for each in (new.get("status") or {}).get("conditions") or ()}
    for each in (old.get("status") or {}).get("conditions") or ():
        if each.get("type") in FINAL and each["type"] not in kept:
            text = f"Forbidden: updates may not remove a condition of type {faults.shown(each['type'])}"
            yield Cause("status.conditions", "FieldValueForbidden", text)
    issued = (old.get("status") or {}).get("certificate")
    if issued and (new.get("status") or {}).get("certificate") != issued:
        text = "Forbidden: updates may not modify existing certificate data"
        yield Cause("status.certificate", "FieldValueForbidden", text)


def trust_bundle(found: Json) -> Iterator[Cause]:
    spec, name = found.get("spec") or {}, found["metadata"].get("name", "")
    signer_name, prefix = spec.get("signerName", ""), ""
    if signer_name:
        yield from signer(signer_name, "spec.signerName")
        prefix = signer_name.replace("/", ":") + ":"
        if not name.startswith(prefix):
            text = f"ClusterTrustBundle for signerName {signer_name} must be named with prefix {prefix}"
            yield faults.invalid("metadata.name", name, text)
    elif ":" in name:
        text = 'ClusterTrustBundle without signer name must not have ":" in its name'
        yield faults.invalid("metadata.name", name, text)
    yield from faults.each("metadata.name", name, names.dns_subdomain(name.removeprefix(prefix)))
    yield from _bundle(spec.get("trustBundle", ""), "spec.trustBundle")


def _bundle(text: str, field: str) -> Iterator[Cause]:
    if len(text) > BUNDLE_BYTES_MAX:
        yield faults.too_long(field, BUNDLE_BYTES_MAX)
        return
    anchors: dict[bytes, list[int]] = {}
    wrong = False
    for index, block in enumerate(_BLOCK.finditer(text)):
        fault, anchor = _anchor(block)
        if fault:
            wrong = True
            yield faults.invalid(field, OMITTED, f"entry {index} {fault}")
        else:
            anchors.setdefault(anchor, []).append(index)
    if wrong:
        return
    if not anchors:
        yield faults.invalid(field, OMITTED, "at least one trust anchor must be provided")
    for places in anchors.values():
        if len(places) > 1:
            listed = " ".join(map(str, places))
            yield faults.invalid(field, OMITTED, f"duplicate trust anchor (indices [{listed}])")


def _anchor(block: re.Match[str]) -> tuple[str, bytes]:
    """What is wrong with one block of a bundle, or its bytes."""
    if block["type"] != "CERTIFICATE":
        return f"has bad block type: {block['type']}", b""
    if block["headers"]:
        return "has PEM block headers", b""
    try:
        encoded = base64.b64decode("".join(block["body"].split()), validate=True)
        if not signing.is_authority(encoded):
            return "does not have the CA bit set", b""
    except (Invalid, ValueError):
        return "does not parse as X.509", b""
    return "", encoded
