"""What a node does of itself: static pods, admission, resizes, limits of disk and processes, its port, `knarr why`."""

import http.client
import json
import ssl
import time
from pathlib import Path
from typing import Any

import pytest

from knarr.criserver import user_namespaces
from tests.e2e.cluster import Cluster
from tests.e2e.test_pods import create, pod, ready, shell, status

PHASE = "jsonpath={.status.phase} {.status.reason} {.status.message}"


def node_name(cluster: Cluster) -> str:
    name: str = cluster.get("nodes")["items"][0]["metadata"]["name"]
    return name


def test_a_file_is_a_pod_until_it_is_removed(cluster: Cluster, busybox: str) -> None:
    manifests = cluster.data_dir / "manifests"
    name = f"static-{node_name(cluster)}"
    body = pod("static", busybox, terminationGracePeriodSeconds=1)
    (manifests / "static.json").write_text(json.dumps(body))
    cluster.until("static", "get", "pods")
    ready(cluster, name)
    before = status(cluster, name)["containerID"]
    cluster.ok(cluster.kubectl("delete", "pod", name, "--timeout=20s"))
    cluster.until("Running", "get", "pod", name, "-o", PHASE)
    assert status(cluster, name)["containerID"] == before, "its mirror was deleted, it was not"
    (manifests / "static.json").unlink()
    cluster.until("NotFound", "get", "pod", name)


def test_the_node_refuses_what_it_may_not_run(cluster: Cluster, busybox: str) -> None:
    node = node_name(cluster)
    unsafe = {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}
    huge = {"resources": {"requests": {"memory": "1Pi"}}}
    create(
        cluster,
        pod("elsewhere", busybox, nodeName=node, nodeSelector={"no": "such"}),
        pod("unsafe", busybox, nodeName=node, securityContext=unsafe),
        pod("huge", busybox, huge, nodeName=node),
    )
    for name, reason in (("elsewhere", "NodeAffinity"), ("unsafe", "SysctlForbidden"), ("huge", "OutOfmemory")):
        cluster.until(f"Failed {reason} Pod was rejected: ", "get", "pod", name, "-o", PHASE)


@pytest.mark.skipif(not user_namespaces.are_possible(Path("/var/lib")), reason="the kernel maps no ids of files")
def test_root_of_a_pod_without_the_hosts_users_is_nobody_of_the_machine(cluster: Cluster, busybox: str) -> None:
    mounts = [{"name": "e", "mountPath": "/e"}, {"name": "e", "mountPath": "/deep", "subPath": "x/y"}]
    readiness = {"exec": {"command": ["sh", "-c", "touch /e/made"]}, "periodSeconds": 1}
    own = {"volumeMounts": mounts, "readinessProbe": readiness}
    create(cluster, pod("users", busybox, own, hostUsers=False, volumes=[{"name": "e", "emptyDir": {}}]))
    ready(cluster, "users")
    inside = shell(cluster, "users", "id -u; cat /proc/self/uid_map; stat -c %u / /e/made /deep /var/run/secrets")
    root, _, first, length, *owners = inside.split()
    assert (root, length, owners) == ("0", "65536", ["0"] * 4)
    assert int(first) >= 65536
    handlers = cluster.get("node", node_name(cluster))["status"]["runtimeHandlers"]
    assert all(handler["features"]["userNamespaces"] for handler in handlers)
    before = status(cluster, "users")["containerID"]
    cluster.ok(cluster.kubectl("exec", "users", "--", "sh", "-c", "kill 1"))
    restarts = "jsonpath=restarts:{.status.containerStatuses[0].restartCount}."  # an error of kubectl's has a 1 too
    cluster.until("restarts:1.", "get", "pod", "users", "-o", restarts)
    ready(cluster, "users")
    assert status(cluster, "users")["containerID"] != before
    assert first in shell(cluster, "users", "cat /proc/self/uid_map")


def test_a_safe_sysctl_is_set(cluster: Cluster, busybox: str) -> None:
    context = {"sysctls": [{"name": "net.ipv4.tcp_keepalive_time", "value": "77"}]}
    create(cluster, pod("tuned", busybox, securityContext=context))
    ready(cluster, "tuned")
    assert shell(cluster, "tuned", "cat /proc/sys/net/ipv4/tcp_keepalive_time") == "77"


def resize(cluster: Cluster, name: str, **amounts: str) -> None:
    """As `kubectl patch --subresource resize` of newer kubectls does it."""
    place = f"/api/v1/namespaces/default/pods/{name}"
    found = json.loads(cluster.ok(cluster.kubectl("get", "--raw", place)))
    found["spec"]["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
    words = ("replace", "--raw", f"{place}/resize", "-f", "-")
    cluster.ok(cluster.kubectl(*words, text=json.dumps(found)))


def test_a_resize_reaches_the_cgroup_without_a_restart(cluster: Cluster, busybox: str) -> None:
    amounts = {"cpu": "100m", "memory": "32Mi"}
    create(cluster, pod("sized", busybox, {"resources": {"requests": amounts, "limits": amounts}}))
    ready(cluster, "sized")
    before = status(cluster, "sized")["containerID"]
    resize(cluster, "sized", cpu="200m", memory="64Mi")
    where = "jsonpath={.status.containerStatuses[0].resources.limits}"
    cluster.until('"memory":"64Mi"', "get", "pod", "sized", "-o", where)
    limit = "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert shell(cluster, "sized", limit) == str(64 << 20)
    assert (status(cluster, "sized")["containerID"], status(cluster, "sized")["restartCount"]) == (before, 0)
    resize(cluster, "sized", cpu="999", memory="64Mi")
    pending = 'jsonpath={.status.conditions[?(@.type=="PodResizePending")].reason}'
    cluster.until("Infeasible", "get", "pod", "sized", "-o", pending)
    assert status(cluster, "sized")["resources"]["limits"]["cpu"] == "200m"


def test_a_pod_that_fills_its_volume_is_evicted(cluster: Cluster, busybox: str) -> None:
    container = {
        "command": ["sh", "-c", "head -c 3000000 /dev/zero > /v/x; sleep 1000"],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    }
    volumes = [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]
    create(cluster, pod("greedy", busybox, container, volumes=volumes))
    words = 'Failed Evicted Usage of EmptyDir volume "v" exceeds the limit "1Mi"'
    cluster.until(words, "get", "pod", "greedy", "-o", PHASE, seconds=40)


def test_a_rule_restarts_by_exit_code(cluster: Cluster, busybox: str) -> None:
    count = "n=$(cat /v/n 2>/dev/null || echo 0); echo $((n+1)) > /v/n; [ $n -lt 1 ] && exit 42; exit 3"
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    container: dict[str, Any] = {
        "command": ["sh", "-c", count],
        "restartPolicy": "Never",
        "restartPolicyRules": rules,
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    }
    create(cluster, pod("ruled", busybox, container, volumes=[{"name": "v", "emptyDir": {}}]))
    cluster.until("Failed", "get", "pod", "ruled", "-o", PHASE)
    ended = status(cluster, "ruled")
    assert (ended["restartCount"], ended["state"]["terminated"]["exitCode"]) == (1, 3)


def test_the_kubelets_port_asks_who_comes_and_what_they_may(cluster: Cluster) -> None:
    cluster.ok(cluster.kubectl("create", "serviceaccount", "reader"))
    words = ("create", "clusterrole", "metrics-reader", "--verb=get", "--resource=nodes/metrics")
    cluster.ok(cluster.kubectl(*words))
    bind = ("create", "clusterrolebinding", "metrics-reader", "--clusterrole=metrics-reader")
    cluster.ok(cluster.kubectl(*bind, "--serviceaccount=default:reader"))
    request = '{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}'
    place = "/api/v1/namespaces/default/serviceaccounts/reader/token"
    made = cluster.ok(cluster.kubectl("create", "--raw", place, "-f", "-", text=request))
    token = json.loads(made)["status"]["token"]
    port = cluster.ports["kubelet-port"]
    assert asked(port, "/metrics/resource", token) == 200
    assert asked(port, "/metrics/resource", "") == 401
    assert asked(port, "/pods", token) == 403
    assert asked(port, "/exec/default/x/c?command=id", token) == 403
    configz = f"/api/v1/nodes/{node_name(cluster)}/proxy/configz"
    assert "KubeletConfiguration" in cluster.ok(cluster.kubectl("get", "--raw", configz))


def test_a_page_of_a_pod_leads_through_the_proxy(cluster: Cluster, busybox: str) -> None:
    page = "mkdir /w; echo '<a href=\"/next\">next</a>' > /w/index.html; exec httpd -f -p 8080 -h /w"
    container = {"command": ["sh", "-c", page], "ports": [{"containerPort": 8080}]}
    container["readinessProbe"] = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    create(cluster, pod("page", busybox, container))
    cluster.ok(cluster.kubectl("wait", "--for=condition=Ready", "pod/page", "--timeout=30s"))
    proxy = "/api/v1/namespaces/default/pods/page/proxy"
    for path in (f"{proxy}/", proxy):  # without the slash the client is sent to where it is there
        found = cluster.ok(cluster.kubectl("get", "--raw", path))
        assert found == f'<a href="{proxy}/next">next</a>\n'


def asked(port: int, path: str, token: str) -> int:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
    code = connection.getresponse().status
    connection.close()
    return code


def test_why_shows_what_the_probes_said(cluster: Cluster, busybox: str) -> None:
    probe = {"exec": {"command": ["cat", "/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    create(cluster, pod("told", busybox, {"readinessProbe": probe}))
    cluster.until("Readiness probe failed", "get", "events", "--field-selector=involvedObject.name=told")
    shell(cluster, "told", "touch /ready")
    ready(cluster, "told")
    said = cluster.ok(cluster.knarr("why", "pod/told"))
    lines = [line.split(" ", 3)[3] for line in said.splitlines() if " c readiness " in line]
    assert lines[0].startswith("c readiness failure: cat: ")
    assert lines[-1].startswith("c readiness success")


def test_pods_reach_the_api_and_nothing_else_of_the_host(cluster: Cluster, busybox: str) -> None:
    create(cluster, pod("curious", busybox))
    ready(cluster, "curious")
    gateway = cluster.pod_network.rpartition(".")[0] + ".1"
    reach = f"nc -w 2 {gateway} {{}} </dev/null >/dev/null 2>&1 && echo open || echo closed"
    found = {port: shell(cluster, "curious", reach.format(cluster.ports[port])) for port in cluster.ports}
    assert found == {"port": "open", "registry-port": "closed", "kubelet-port": "closed"}


def test_the_features_leave_nothing_behind(cluster: Cluster) -> None:
    cluster.ok(cluster.kubectl("delete", "pod", "--all", "--timeout=60s"))
    cluster.ok(cluster.kubectl("delete", "serviceaccount/reader"))
    cluster.ok(cluster.kubectl("delete", "clusterrole/metrics-reader", "clusterrolebinding/metrics-reader"))
    end = time.monotonic() + 5
    roots: list[Path] = [cluster.data_dir / "kubelet" / "pods", cluster.data_dir / "pods"]
    while any(list(root.iterdir()) for root in roots):
        assert time.monotonic() < end, [list(root.iterdir()) for root in roots]
        time.sleep(0.1)  # files go after the API object, by the kubelet's own doing
