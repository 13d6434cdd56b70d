"""Decoding: what is refused is told briefly, and as the client wrote it."""

from typing import Any

import pytest

from knarr.kinds import registry, schemas
from knarr.objects.decoding import WrongType, decoded

LEASE = schemas.of(registry.row("coordination.k8s.io", "v1", "Lease"))


def refusal(spec: Any) -> str:
    with pytest.raises(WrongType) as refused:
        decoded(LEASE, "Lease", "v1", {"spec": spec})
    return str(refused.value)


def test_a_sign_of_the_clients_own_stays_in_the_message() -> None:
    assert 'parsing time "@a"' in refusal({"renewTime": "@a"})


def test_a_long_text_that_is_no_time_is_told_by_its_beginning() -> None:
    for text in ("@" * 2**20, "\n" * 2**20, "2026-01-01T00:00:00.000000Z" + "x" * 2**20):
        assert len(refusal({"renewTime": text})) < 4096


def test_a_value_of_a_wrong_type_is_told_with_its_place_and_the_type_wanted() -> None:
    cannot = 'Lease in version "v1" cannot be handled as a Lease: json: cannot unmarshal'
    assert refusal("@") == f"{cannot} string into Go struct field Lease.spec of type v1.LeaseSpec"
    width = "into Go struct field LeaseSpec.spec.leaseTransitions of type int32"
    assert refusal({"leaseTransitions": 2**31}) == f"{cannot} number 2147483648 {width}"
