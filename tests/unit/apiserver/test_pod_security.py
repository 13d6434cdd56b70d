"""The Pod Security Standards: what each level refuses, and where labels put them."""

from typing import Any

import pytest

from knarr.apiserver.admission.pod_security import violations

Json = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
GOOD: Json = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "c",
            "image": "x",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}


def with_security(**security: Any) -> Json:
    return {"containers": [{"name": "c", "image": "x", "securityContext": security}]}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (with_security(privileged=True), 'privileged (container "c" must not set securityContext.privileged=true)'),
        ({"hostNetwork": True, "hostPID": True}, "host namespaces (hostNetwork=true, hostPID=true)"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, 'hostPath volumes (volume "v")'),
        (
            with_security(capabilities={"add": ["NET_ADMIN"]}),
            'non-default capabilities (container "c" must not include "NET_ADMIN" in securityContext.capabilities.add)',
        ),
        (
            {"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]},
            'hostPort (container "c" uses hostPort 80)',
        ),
        (
            {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}}, "forbidden sysctls (kernel.msgmax)"),
        (with_security(runAsUser=0), ""),
    ],
)
def test_baseline_refuses(spec: Json, said: str) -> None:
    assert violations("baseline", spec) == said


def test_restricted_takes_only_what_gives_everything_up() -> None:
    assert violations("restricted", GOOD) == ""
    assert violations("restricted", {"containers": [{"name": "c"}]}) == (
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")'
    )


async def test_labels_of_the_namespace_decide(ask: Any) -> None:
    bad = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": with_security(privileged=True)}
    labels = {"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "restricted"}
    body = {"metadata": {"labels": labels}}
    await ask("PATCH", "/api/v1/namespaces/default", body, media="application/merge-patch+json")
    refused = await ask("POST", PODS, bad)
    assert (refused["code"], refused["message"]) == (
        403,
        'pods "p" is forbidden: violates PodSecurity "baseline:latest": privileged (container "c" must not set '
        "securityContext.privileged=true)",
    )
    plain = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "q"},
        "spec": {"containers": [{"name": "c", "image": "x"}]},
    }
    warned = await ask.send("POST", PODS, plain)
    assert warned.status == 201
    assert any("would violate PodSecurity" in value for key, value in warned.headers if key == "warning")
    none = {"metadata": {"labels": dict.fromkeys(labels, None)}}
    await ask("PATCH", "/api/v1/namespaces/default", none, media="application/merge-patch+json")
    assert (await ask("POST", PODS, bad))["kind"] == "Pod"


async def test_the_servers_default_holds_without_a_label(ask: Any) -> None:
    ask.server.pod_security = "baseline"
    bad = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": with_security(privileged=True)}
    assert (await ask("POST", PODS, bad))["code"] == 403


NAMESPACE = "/api/v1/namespaces/default"
MERGE = "application/merge-patch+json"


async def test_a_level_that_is_none_is_refused_when_it_is_new(ask: Any) -> None:
    label, version = "pod-security.kubernetes.io/enforce", "pod-security.kubernetes.io/warn-version"
    refused = await ask("PATCH", NAMESPACE, {"metadata": {"labels": {label: "nope", version: "1"}}}, media=MERGE)
    assert (refused["code"], refused["message"]) == (
        422,
        f'Namespace "default" is invalid: [metadata.labels[{label}]: Invalid value: "nope": must be one of privileged, '
        f'baseline, restricted, metadata.labels[{version}]: Invalid value: "1": must be "latest" or "v1.x"]',
    )
    new = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": {label: "nope"}}}
    assert (await ask("POST", "/api/v1/namespaces", new))["code"] == 422


async def test_who_tightens_a_namespace_hears_which_pods_would_not_pass(ask: Any) -> None:
    for name in ("a", "b"):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": with_security(privileged=True)}
        await ask("POST", PODS, pod)
    body = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
    answer = await ask.send("PATCH", NAMESPACE, body, media=MERGE)
    assert [value for key, value in answer.headers if key == "warning"] == [
        '299 - "existing pods in namespace \\"default\\" violate the new PodSecurity enforce level '
        '\\"baseline:latest\\""',
        '299 - "a (and 1 other pod): privileged"',
    ]
    again = await ask.send("PATCH", NAMESPACE, {"metadata": {"labels": {"x": "y"}}}, media=MERGE)
    assert not [value for key, value in again.headers if key == "warning"]
