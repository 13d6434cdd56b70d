"""Stock kubectls as judges of the API: what a user types in the first hour."""

from typing import Any

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "x:1"}]}
"""


async def test_a_users_first_hour(kubectl: Any) -> None:
    await kubectl("create", "namespace", "mine")
    assert "created" in await kubectl("-n", "mine", "create", "configmap", "c1", "--from-literal=a=1")
    refused = await kubectl("-n", "mine", "create", "configmap", "c1", "--from-literal=a=1", fails=True)
    assert 'configmaps "c1" already exists' in refused
    assert await kubectl("-n", "mine", "get", "configmap", "c1", "-o", "jsonpath={.data.a}") == "1"
    await kubectl("-n", "mine", "label", "configmap", "c1", "tier=web")
    assert "c1" in await kubectl("-n", "mine", "get", "configmap", "-l", "tier in (web)")
    assert "created" in await kubectl("-n", "mine", "apply", "-f", "-", stdin=DEPLOYMENT)
    assert "unchanged" in await kubectl("-n", "mine", "apply", "-f", "-", stdin=DEPLOYMENT)
    assert "scaled" in await kubectl("-n", "mine", "scale", "deployment/web", "--replicas=2")
    assert "UP-TO-DATE" in await kubectl("-n", "mine", "get", "deployment", "web")
    assert "yes" in await kubectl("auth", "can-i", "create", "pods")
    assert await kubectl("delete", "namespace", "mine", "--timeout=20s")
    assert "not found" in await kubectl("get", "namespace", "mine", fails=True)
