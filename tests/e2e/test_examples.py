"""The examples do what their READMEs promise; and `kubectl top` shows the pods they start."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster

EXAMPLES = Path(__file__).parents[2] / "examples"
IMAGE = "localhost:5000/busybox:v1"


@pytest.fixture(scope="module")
def image(cluster: Cluster) -> str:
    """examples/busybox, built as examples/README.md says."""
    made = f"{cluster.registry}/busybox:v1"
    context = cluster.context(Dockerfile=(EXAMPLES / "busybox" / "Dockerfile").read_text())
    cluster.ok(cluster.knarr("build", "-t", made, str(context)))
    cluster.ok(cluster.knarr("push", made))
    return made


@pytest.fixture
def applied(cluster: Cluster, image: str, request: pytest.FixtureRequest) -> Iterator[None]:
    """The manifests of the example that the test names by `example`, with this cluster's registry."""
    manifests = sorted((EXAMPLES / request.param).glob("*.yaml"))
    text = "\n---\n".join(path.read_text() for path in manifests).replace(IMAGE, image)
    cluster.ok(cluster.kubectl("apply", "-f", "-", text=text))
    yield
    cluster.ok(cluster.kubectl("delete", "-f", "-", "--timeout=30s", text=text))


def example(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("applied", [name], indirect=True)


def ready(cluster: Cluster, *names: str, condition: str = "Ready") -> None:
    words = [f"pod/{name}" for name in names]
    cluster.ok(cluster.kubectl("wait", f"--for=condition={condition}", *words, "--timeout=30s"))


@example("multi-container/sidecar")
def test_a_sidecar_writes_what_the_application_serves(cluster: Cluster, applied: None) -> None:
    ready(cluster, "sidecar")
    page = cluster.ok(cluster.kubectl("exec", "sidecar", "-c", "web", "--", "wget", "-qO-", "http://localhost:8080/"))
    assert page.startswith("page ")
    cluster.until("2/2", "get", "pod", "sidecar")
    for pattern in ("content", "web"):
        cluster.until(pattern, "top", "pod", "sidecar", "--containers")


@example("multi-container/adapter")
def test_an_adapter_shows_the_report_in_the_common_form(cluster: Cluster, applied: None) -> None:
    ready(cluster, "adapter")
    report = cluster.ok(cluster.kubectl("exec", "adapter", "-c", "application", "--", "cat", "/report/now"))
    assert report.startswith("jobs done=")
    page = ("wget", "-qO-", "http://localhost:9100/cgi-bin/metrics")
    lines = cluster.ok(cluster.kubectl("exec", "adapter", "-c", "adapter", "--", *page)).splitlines()
    assert [line.split()[0] for line in lines] == ["jobs_done_total", "jobs_queued"]
    assert all(line.split()[1].isdigit() for line in lines)


@example("multi-container/ambassador")
def test_an_ambassador_reaches_what_the_application_cannot_name(cluster: Cluster, applied: None) -> None:
    ready(cluster, "database")
    cluster.until("CreateContainerConfigError", "get", "pod", "ambassador")
    address = cluster.get("pod", "database")["status"]["podIP"]
    cluster.ok(cluster.kubectl("create", "configmap", "places", f"--from-literal=database={address}"))
    try:
        ready(cluster, "ambassador")
        cluster.until("42 rows", "logs", "ambassador", "-c", "application", "--tail=1")
    finally:
        cluster.ok(cluster.kubectl("delete", "configmap", "places"))


@example("probes")
def test_probes_gate_restart_and_wait(cluster: Cluster, applied: None) -> None:
    ready(cluster, "readiness-http", "readiness-tcp", "startup")
    assert "0/1" in cluster.ok(cluster.kubectl("get", "pod", "readiness-command"))
    cluster.ok(cluster.kubectl("exec", "readiness-command", "--", "touch", "/healthy"))
    ready(cluster, "readiness-command")
    cluster.ok(cluster.kubectl("exec", "readiness-http", "--", "rm", "/www/ready"))
    ready(cluster, "readiness-http", condition="Ready=false")
    cluster.until("HTTP probe failed with statuscode: 404", "describe", "pod", "readiness-http")
    restarts = "jsonpath={.status.containerStatuses[0].restartCount}"
    cluster.until("1", "get", "pod", "liveness", "-o", restarts)
    for name in ("startup", "readiness-http"):
        assert cluster.ok(cluster.kubectl("get", "pod", name, "-o", restarts)) == "0"


@example("configuration")
def test_configuration_reaches_variables_and_files(cluster: Cluster, applied: None) -> None:
    ready(cluster, "configuration")

    def shell(command: str) -> str:
        return cluster.ok(cluster.kubectl("exec", "configuration", "--", "sh", "-c", command))

    assert shell('echo "$GREETING, the password $DATABASE_password"') == "the color is blue, the password hunter2\n"
    assert shell("cat /etc/application/application.conf /etc/database/password") == "size=1\nhunter2"
    patch = '{"data":{"COLOR":"green"}}'
    cluster.ok(cluster.kubectl("patch", "configmap", "application", "--type=merge", "-p", patch))
    cluster.until("green", "exec", "configuration", "--", "cat", "/etc/application/COLOR", seconds=5)
    assert shell("echo $COLOR") == "blue\n"


def test_top_shows_the_node_in_percent(cluster: Cluster) -> None:
    assert "%" in cluster.ok(cluster.kubectl("top", "node"))


def test_images_that_are_built_here_have_the_names_of_exercises(cluster: Cluster, image: str) -> None:
    """examples/course, as its README says."""
    cluster.ok(cluster.knarr("tag", image, "busybox"))
    context = cluster.context(Dockerfile=(EXAMPLES / "course" / "Dockerfile").read_text())
    cluster.ok(cluster.knarr("build", "--build-arg", f"REGISTRY={cluster.registry}", "-t", "nginx", str(context)))
    cluster.ok(cluster.kubectl("run", "web", "--image=nginx", "--port=80"))
    try:
        ready(cluster, "web")
        address = cluster.get("pod", "web")["status"]["podIP"]
        ask = ("run", "ask", "--rm", "-i", "--restart=Never", "--image=busybox", "--", "wget", "-qO-")
        assert "is called nginx here" in cluster.ok(cluster.kubectl(*ask, f"http://{address}/"))
        cluster.until("it was built on this machine", "describe", "pod", "web")
    finally:
        cluster.ok(cluster.kubectl("delete", "pod", "web", "--now"))
