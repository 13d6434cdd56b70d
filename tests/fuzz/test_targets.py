"""Every decoder of bytes from outside takes nearly right and wrong input, or refuses it in its own words.

KNARR_FUZZ sets how many inputs each target is given, KNARR_FUZZ_SEED which. A hang is the test's timeout.
"""

import itertools
import os

import pytest

from tests.fuzz import api_targets, content_targets, mutations, node_targets
from tests.fuzz.target import Target

COUNT = int(os.environ.get("KNARR_FUZZ", "300"))
SEED = int(os.environ.get("KNARR_FUZZ_SEED", "1"))
TARGETS = (*api_targets.TARGETS, *content_targets.TARGETS, *node_targets.TARGETS)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_input_is_taken_or_refused_in_the_decoders_own_words(target: Target) -> None:
    for content in itertools.islice(mutations.inputs(target.seeds, target.words, SEED), COUNT):
        try:
            target.run(content)
        except target.refuses:
            pass
        except Exception as error:
            raise AssertionError(f"{target.name} met {content!r} with {error!r}") from error


def test_names_are_given_once() -> None:
    assert len({target.name for target in TARGETS}) == len(TARGETS)


def test_text_that_only_nests_is_refused_wherever_json_hides_in_it() -> None:
    """Five thousand brackets inside annotations, keys of managedFields and Secrets are not the server's fault."""
    deep = '{"a":' * 5000
    metadata = {"name": "deep", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": deep}}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    entry = {
        "manager": "kubectl-client-side-apply",
        "operation": "Update",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
    }
    config["metadata"]["managedFields"] = [entry | {"fieldsV1": {"f:data": {f"k:{deep}": {}}}}]
    place = "/api/v1/namespaces/default"
    statuses = [
        api_targets.answered("POST", f"{place}/configmaps", config),
        api_targets.answered(
            "PATCH",
            f"{place}/configmaps/deep?fieldManager=kubectl&force=true",
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "deep"}, "data": {"a": "b"}},
            "application/apply-patch+yaml",
        ),
        api_targets.answered(
            "POST",
            f"{place}/secrets",
            {
                "metadata": {"name": "deep"},
                "type": "kubernetes.io/dockerconfigjson",
                "stringData": {".dockerconfigjson": deep},
            },
        ),
    ]
    assert statuses == [201, 200, 422]
