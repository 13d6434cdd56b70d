"""What the runtime is asked for: security, resources, names, resolver, hosts, labels."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from knarr.base.errors import Invalid
from knarr.cri.memory import memory_image
from knarr.cri.messages.config import Capability, Int64Value, LinuxContainerResources
from knarr.cri.messages.enums import NamespaceMode, ProfileType
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import cri_config, dns, quantities, resources, security
from knarr.kubelet.cri_config import Prepared
from knarr.kubelet.settings import KubeletSettings
from tests.unit.kubelet.test_pod_plan import pod

NDOTS = [{"name": "ndots", "value": "2"}]
HOST = dns.Resolver(("192.0.2.53",), ("corp.example",), ("timeout:1",))


def made(container: dict[str, Any] | None = None, **spec: Any) -> Pod:
    return pod(containers=[{"name": "c", "image": "i", **(container or {})}], **spec)


def settled(subject: Pod, **image: Any) -> Any:
    return security.container_security(subject, subject.spec.containers[0], **image)


def test_a_container_is_confined_unless_its_spec_says_otherwise() -> None:
    found = settled(made())
    assert (found.privileged, found.no_new_privs, found.readonly_rootfs) == (False, False, False)
    assert found.seccomp.profile_type == ProfileType.RuntimeDefault
    assert len(found.masked_paths) >= 11
    assert len(found.readonly_paths) == 5
    assert found.capabilities is None


def test_a_privileged_container_is_not() -> None:
    found = settled(made({"securityContext": {"privileged": True}}))
    assert (found.privileged, found.masked_paths, found.readonly_paths) == (True, (), ())
    assert found.seccomp.profile_type == ProfileType.Unconfined


def test_the_containers_setting_wins_over_the_pods() -> None:
    own = {"runAsUser": 7, "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}, "allowPrivilegeEscalation": False}
    found = settled(
        made(
            {"securityContext": own},
            securityContext={"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4]},
        )
    )
    assert (found.run_as_user, found.run_as_group) == (Int64Value(value=7), Int64Value(value=2))
    assert found.supplemental_groups == (4, 3)
    assert found.capabilities == Capability(add_capabilities=("CHOWN",), drop_capabilities=("ALL",))
    assert found.no_new_privs


def test_a_profile_of_this_machine_lies_below_the_kubelets_own_folder() -> None:
    profile = {"seccompProfile": {"type": "Localhost", "localhostProfile": "profiles/audit.json"}}
    found = settled(made({"securityContext": profile}), seccomp_root=Path("/var/lib/kubelet/seccomp"))
    assert found.seccomp.profile_type == ProfileType.Localhost
    assert found.seccomp.localhost_ref == "/var/lib/kubelet/seccomp/profiles/audit.json"


def test_without_a_user_in_the_spec_the_images_counts() -> None:
    assert settled(made(), uid=5).run_as_user == Int64Value(value=5)
    assert settled(made(), username="app").run_as_username == "app"
    assert settled(made({"securityContext": {"runAsUser": 0}}), username="app").run_as_username == ""


@pytest.mark.parametrize(
    ("context", "uid", "username", "message"),
    [
        ({"runAsNonRoot": True}, 0, "", "container has runAsNonRoot and image will run as root"),
        ({"runAsNonRoot": True}, None, "", "container has runAsNonRoot and image will run as root"),
        ({"runAsNonRoot": True}, None, "app", r"image has non-numeric user \(app\), cannot verify user is non-root"),
        ({"runAsNonRoot": True, "runAsUser": 0}, 5, "", "container's runAsUser breaks non-root policy"),
        ({"runAsNonRoot": True}, 5, "", ""),
        ({"runAsNonRoot": True, "runAsUser": 5}, 0, "", ""),
        ({}, 0, "", ""),
    ],
)
def test_run_as_non_root(context: Any, uid: int | None, username: str, message: str) -> None:
    subject = made({"securityContext": context})
    if not message:
        security.verify_non_root(subject, subject.spec.containers[0], uid=uid, username=username)
        return
    with pytest.raises(Invalid, match=rf'{message} \(pod: "web_default\(u\)", container: c\)'):
        security.verify_non_root(subject, subject.spec.containers[0], uid=uid, username=username)


@pytest.mark.parametrize(
    ("spec", "target", "pid"),
    [
        ({}, "", NamespaceMode.CONTAINER),
        ({"shareProcessNamespace": True}, "", NamespaceMode.POD),
        ({"hostPID": True}, "x", NamespaceMode.NODE),
        ({}, "x", NamespaceMode.TARGET),
    ],
)
def test_process_namespaces(spec: Any, target: str, pid: NamespaceMode) -> None:
    found = security.namespaces(made(**spec), target)
    assert (found.pid, found.network, found.ipc) == (pid, NamespaceMode.POD, NamespaceMode.POD)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("1", 1), ("100m", 1), ("64Mi", 64 << 20), ("1e3", 1000), ("1.5Gi", 3 << 29), ("2k", 2000), ("0", 0), ("x", 0)],
)
def test_quantities(text: str, wanted: int) -> None:
    assert quantities.whole(text) == wanted


@pytest.mark.parametrize(
    ("stated", "wanted"),
    [
        ({}, (2, 0, 0)),
        ({"limits": {"cpu": "200m", "memory": "64Mi"}}, (204, 20_000, 64 << 20)),
        ({"limits": {"cpu": "2"}, "requests": {"cpu": "500m"}}, (512, 200_000, 0)),
        ({"limits": {"cpu": "1m"}}, (2, 1_000, 0)),
    ],
)
def test_cpu_and_memory_of_a_container(stated: Any, wanted: tuple[int, int, int]) -> None:
    linux = resources.linux_resources(made({"resources": stated}).spec.containers[0].resources)
    assert (linux.cpu_shares, linux.cpu_quota, linux.memory_limit_in_bytes) == wanted


def test_a_pod_is_limited_only_where_all_its_containers_are() -> None:
    limited = {"resources": {"limits": {"cpu": "1", "memory": "10Mi"}}}
    both = pod(containers=[{"name": "a", **limited}, {"name": "b", **limited}])
    assert resources.pod_resources(both) == LinuxContainerResources(
        cpu_period=100_000, cpu_quota=200_000, cpu_shares=2048, memory_limit_in_bytes=20 << 20
    )
    one = pod(containers=[{"name": "a", **limited}, {"name": "b"}])
    assert resources.pod_resources(one) == LinuxContainerResources(cpu_shares=1024)


def test_what_a_pod_says_of_itself_stands_for_its_containers_resource_by_resource() -> None:
    limited = {"name": "a", "resources": {"limits": {"cpu": "1", "memory": "10Mi"}}}
    own = {"limits": {"cpu": "500m"}, "requests": {"cpu": "250m"}}
    assert resources.pod_resources(pod(containers=[limited], resources=own)) == LinuxContainerResources(
        cpu_period=100_000, cpu_quota=50_000, cpu_shares=256, memory_limit_in_bytes=10 << 20
    )
    memory = {"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}
    assert resources.pod_resources(pod(containers=[{"name": "a"}], resources=memory)) == LinuxContainerResources(
        cpu_shares=2, memory_limit_in_bytes=64 << 20
    )


def test_memory_that_only_the_pod_asked_for_is_shared_among_its_containers_when_somebody_has_to_die() -> None:
    asks = {"name": "a", "resources": {"requests": {"memory": "256Mi"}}}
    subject = pod(containers=[asks, {"name": "b"}], resources={"requests": {"memory": "512Mi"}})
    assert [resources.oom_score(subject, each, 1 << 30) for each in subject.spec.containers] == [625, 875]


@pytest.mark.parametrize(
    ("stated", "wanted"),
    [
        ({}, 1000),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, -997),
        ({"requests": {"memory": "512Mi"}}, 500),
        ({"requests": {"memory": "1"}}, 999),
        ({"requests": {"memory": "1Gi"}}, 3),
    ],
)
def test_who_dies_first_when_memory_is_short(stated: Any, wanted: int) -> None:
    subject = made({"resources": stated})
    assert resources.oom_score(subject, subject.spec.containers[0], 1 << 30) == wanted


@pytest.mark.parametrize(
    ("policies", "before", "wanted"),
    [
        ([], "2/0/0", False),
        ([{"resourceName": "memory", "restartPolicy": "RestartContainer"}], "204/20000/1", True),
        ([{"resourceName": "memory", "restartPolicy": "RestartContainer"}], "2/0/1048576", False),
    ],
)
def test_a_resize_restarts_only_where_the_policy_says(policies: Any, before: str, wanted: bool) -> None:
    stated = {"resources": {"limits": {"cpu": "200m", "memory": "1Mi"}}, "resizePolicy": policies}
    assert resources.needs_restart(made(stated).spec.containers[0], before) is wanted


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"dnsPolicy": "Default"}, HOST),
        (
            {"dnsPolicy": "ClusterFirst"},
            dns.Resolver(
                ("10.96.0.10",),
                ("default.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example"),
                ("ndots:5",),
            ),
        ),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True}, HOST),
        (
            {
                "dnsPolicy": "None",
                "dnsConfig": {"nameservers": ["1.1.1.1"], "options": [{"name": "ndots", "value": "2"}]},
            },
            dns.Resolver(("1.1.1.1",), (), ("ndots:2",)),
        ),
        (
            {"dnsPolicy": "Default", "dnsConfig": {"searches": ["a"], "options": [{"name": "timeout", "value": "9"}]}},
            dns.Resolver(("192.0.2.53",), ("corp.example", "a"), ("timeout:9",)),
        ),
    ],
)
def test_resolvers(spec: Any, wanted: dns.Resolver) -> None:
    found = dns.dns_config(made(**spec), HOST, ("10.96.0.10",), "cluster.local")
    assert (found.servers, found.searches, found.options) == (wanted.servers, wanted.searches, wanted.options)


def test_a_resolv_conf_is_read_as_the_resolver_does() -> None:
    text = "# x\nnameserver 192.0.2.53 ; y\nsearch old\nsearch corp.example.\noptions timeout:1\nnameserver\n"
    assert dns.parse(text) == HOST


def test_hosts_name_the_pod_and_its_aliases() -> None:
    subject = made(hostname="db", subdomain="svc", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])
    text = dns.hosts_file(subject, ("10.0.0.2",), "cluster.local")
    assert "127.0.0.1\tlocalhost\n" in text
    assert "10.0.0.2\tdb.svc.default.svc.cluster.local\tdb\n" in text
    assert text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
    assert dns.hosts_file(made(hostNetwork=True), (), "", "own\n").endswith("own\n")


def test_a_long_pod_name_is_cut_for_the_hostname() -> None:
    long = msgspec.structs.replace(pod().metadata, name="a" * 62 + "-b")
    assert dns.hostname(msgspec.structs.replace(pod(), metadata=long)) == "a" * 62


def test_a_whole_name_that_no_kernel_holds_is_refused() -> None:
    spec = {"setHostnameAsFQDN": True, "subdomain": "sub", "hostname": "h" * 30}
    assert dns.host_name(pod(**spec), "cluster.local") == f"{'h' * 30}.sub.default.svc.cluster.local"
    with pytest.raises(Invalid, match=r"is too long \(64 characters is the max, 91 characters requested\)"):
        dns.host_name(pod(**{**spec, "hostname": "h" * 61}), "cluster.local")


def test_a_sandbox_and_a_container_carry_upstreams_names(tmp_path: Any) -> None:
    settings = KubeletSettings("n1", tmp_path, tmp_path / "logs", cgroup_root="/knarr-x")
    subject = made({"command": ["$(A)", "$$x"], "ports": [{"containerPort": 80, "hostPort": 8080, "protocol": "UDP"}]})
    box = cri_config.sandbox_config(subject, 2, settings, HOST)
    assert box.log_directory == f"{tmp_path}/logs/default_web_u"
    assert (box.hostname, box.linux.cgroup_parent if box.linux else "") == ("web", "/knarr-x/podu")
    assert [(p.protocol.name, p.container_port, p.host_port) for p in box.port_mappings] == [("UDP", 80, 8080)]
    found = cri_config.container_config(
        subject, subject.spec.containers[0], 3, Prepared(memory_image("web:v1"), {"A": "1"})
    )
    assert (found.command, found.log_path) == (("1", "$x"), "c/3.log")
    assert found.labels["io.kubernetes.container.name"] == "c"
    assert found.annotations["io.kubernetes.container.restartCount"] == "3"
    assert box.labels["io.kubernetes.pod.uid"] == found.labels["io.kubernetes.pod.uid"] == "u"
