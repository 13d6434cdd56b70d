"""What a client is told about an object that is accepted."""

from typing import Any

import pytest

from knarr.kinds import registry, warnings

POD, DEPLOYMENT = registry.row("", "v1", "Pod"), registry.row("apps", "v1", "Deployment")


def container(**more: Any) -> dict[str, Any]:
    return {"name": "c", "image": "x", **more}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (
            {"spec": {"nodeSelector": {"beta.kubernetes.io/os": "linux"}}},
            'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
        ),
        (
            {"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/c": "x"}}},
            "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the "
            '"appArmorProfile" field instead',
        ),
        (
            {"spec": {"containers": [container(env=[{"name": "A"}, {"name": "A"}])]}},
            'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
        ),
        (
            {"spec": {"containers": [container(ports=[{"containerPort": 80}, {"containerPort": 80}])]}},
            "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
        ),
        (
            {"spec": {"containers": [container(resources={"requests": {"memory": "100m"}})]}},
            'spec.containers[0].resources.requests[memory]: fractional byte value "100m" is invalid, '
            "must be an integer",
        ),
        ({"spec": {"volumes": [{"name": "v", "gitRepo": {}}]}}, "spec.volumes[0].gitRepo: deprecated in v1.11"),
        ({"spec": {"imagePullSecrets": [{}]}}, 'spec.imagePullSecrets[0].name: invalid empty name ""'),
    ],
)
def test_a_pod_and_a_template_are_warned_of_alike(template: dict[str, Any], text: str) -> None:
    assert warnings.of(POD, template) == [text]
    assert warnings.of(DEPLOYMENT, {"spec": {"template": template}}) == [f"spec.template.{text}".replace(
        "with spec.", "with spec.template.spec.")]  # fmt: skip


def test_nothing_is_said_of_what_is_in_order() -> None:
    good = {"metadata": {"annotations": {"a": "b"}}, "spec": {"containers": [container(ports=[{"containerPort": 1}])]}}

    assert warnings.of(POD, good) == []
    assert warnings.of(registry.row("", "v1", "ConfigMap"), {"data": {}}) == []
