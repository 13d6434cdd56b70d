"""Field selectors of kinds."""

import pytest

from knarr.base.errors import Invalid
from knarr.kinds import field_selectors
from knarr.kinds.core_config import CONFIGMAP, EVENT, NODE
from knarr.kinds.core_pod import POD

PODS = {"metadata": {"name": "a", "namespace": "d"}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("metadata.name=a", True), ("metadata.name==a,status.phase=Running", True), ("status.phase!=Running", False),
        ("spec.nodeName=", False), ("spec.host=n", True), ("spec.hostNetwork=false", True),
    ],
)  # fmt: skip
def test_a_pod_is_chosen_by_its_fields(text: str, chosen: bool) -> None:
    assert field_selectors.parse(POD, text).matches(PODS) is chosen


def test_a_field_that_the_kind_does_not_offer_is_refused() -> None:
    with pytest.raises(Invalid, match=r'"data\.a" is not a known field selector: only "metadata\.name"'):
        field_selectors.parse(CONFIGMAP, "data.a=1")
    with pytest.raises(Invalid, match="field label not supported"):
        field_selectors.parse(POD, "spec.x=1")
    with pytest.raises(Invalid, match="invalid selector"):
        field_selectors.parse(POD, "metadata.name")


def test_absent_booleans_are_false_and_sources_have_two_places() -> None:
    assert field_selectors.parse(NODE, "spec.unschedulable=false").matches({"metadata": {}, "spec": {}})
    assert field_selectors.parse(EVENT, "source=kubelet").matches({"reportingComponent": "kubelet"})
    assert field_selectors.parse(EVENT, "involvedObject.name=x").matches({"involvedObject": {"name": "x"}})
