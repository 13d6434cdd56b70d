"""Running pods while the cluster's own processes die: not one restart, not one lost line, and soon a true status.

KNARR_KILL_ROUNDS and KNARR_KILL_PODS make it a soak (the issue's: 50 rounds, 100 pods); `-s` shows the seconds.
"""

import os
import random
import statistics
import time
from collections.abc import Sequence

import pytest

from tests.e2e import deaths, reboot
from tests.e2e.cluster import Cluster
from tests.e2e.inventory import without_processes

ROUNDS = int(os.environ.get("KNARR_KILL_ROUNDS", "3"))
PODS = int(os.environ.get("KNARR_KILL_PODS", "10"))
COUNT = "i=0; while true; do echo $i; i=$((i+1)); sleep 0.5; done"
READY_SECONDS = 120


def ready(cluster: Cluster, label: str) -> None:
    words = ("wait", "--for=condition=Ready", f"--timeout={READY_SECONDS}s", "pod", "-l", label)
    cluster.ok(cluster.kubectl(*words, seconds=READY_SECONDS + 10))


def test_running_pods_do_not_notice_that_processes_die(cluster: Cluster, busybox: str) -> None:
    dice = random.Random(11)
    deaths.apply(cluster, [deaths.pod(f"count-{n}", busybox, ["sh", "-c", COUNT]) for n in range(PODS)])
    ready(cluster, "of=count")
    before = deaths.containers(cluster, "of=count")
    assert len(before) == PODS
    took = [one_round(cluster, busybox, number, dice) for number in range(ROUNDS)]
    assert deaths.containers(cluster, "of=count") == before
    assert [name for name in before if not counts_on(cluster.ok(cluster.kubectl("logs", name)))] == []
    print(
        f"\n{ROUNDS} rounds, {PODS} pods: true status after {statistics.median(took):.2f} s, at most {max(took):.2f} s"
    )
    cluster.ok(cluster.kubectl("delete", "pod", "-l", "of in (count, mortal)", "--timeout=90s", seconds=100))


def one_round(cluster: Cluster, image: str, number: int, dice: random.Random) -> float:
    """Seconds from the kill until the API tells of a container that was killed with them."""
    name, argument = f"mortal-{number}", str(100_000 + number)
    deaths.apply(cluster, [deaths.pod(name, image, ["sleep", argument], restartPolicy="Never")])
    ready(cluster, "of=mortal")
    [process] = deaths.started(argument)
    both = deaths.pids(cluster)
    victims = dice.choice([both[:1], both[1:], both])
    began = time.monotonic()
    deaths.kill([*victims, process])
    if len(victims) == 2:  # nobody is left to start them again
        cluster.ok(cluster.knarr("up"))
    cluster.until("Failed 137", "get", "pod", name, "-o", f"jsonpath={ENDED}")
    seconds = time.monotonic() - began
    deaths.wait_for_both(cluster, victims)
    cluster.ok(cluster.kubectl("delete", "pod", name))
    return seconds


ENDED = "{.status.phase} {.status.containerStatuses[0].state.terminated.exitCode}"


def counts_on(log: str) -> bool:
    """Whether every number is there, once and in order."""
    numbers: Sequence[str] = log.split()
    return len(numbers) > 0 and list(numbers) == [str(n) for n in range(len(numbers))]


def test_a_killed_monitor_is_reported_and_its_container_restarted_by_its_policy(cluster: Cluster, busybox: str) -> None:
    sleeping = ["sleep", "3600"]
    policies = {"always-0": "Always", "failure-0": "OnFailure", "never-0": "Never"}
    deaths.apply(
        cluster, [deaths.pod(name, busybox, sleeping, restartPolicy=policy) for name, policy in policies.items()]
    )
    cluster.ok(cluster.kubectl("wait", "--for=condition=Ready", "--timeout=60s", *(f"pod/{name}" for name in policies)))
    identities = {
        deaths.containers(cluster, f"of={name[:-2]}")[name][0].removeprefix("knarr://"): name for name in policies
    }
    monitors = deaths.monitors(cluster)
    deaths.kill([pid for pid, words in monitors.items() if any(identity in words for identity in identities)])
    cluster.until("Failed 137", "get", "pod", "never-0", "-o", f"jsonpath={ENDED}")
    for name in ("always-0", "failure-0"):
        last = (
            "{.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].lastState.terminated.exitCode}"
        )
        cluster.until("1 137", "get", "pod", name, "-o", f"jsonpath={last}")
        cluster.until("condition met", "wait", "--for=condition=Ready", "--timeout=20s", f"pod/{name}")
    cluster.ok(cluster.kubectl("delete", "pod", *policies))


VOLUMES = [{"name": "memory", "emptyDir": {"medium": "Memory"}}, {"name": "disk", "emptyDir": {}}]


@pytest.mark.parametrize("forgets", [True, False], ids=["reboot", "everything_killed"])
def test_pods_come_back_after_all_of_them_died_and_leave_nothing(
    cluster: Cluster, busybox: str, *, forgets: bool
) -> None:
    """A reboot; and its half, where mounts, namespaces and addresses of the dead are still there to be cleaned."""
    before = without_processes(cluster)
    keep = "test -e /disk/runs || touch /disk/first; echo x >> /disk/runs; sleep 3600"
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("memory", "disk")]
    container = {"name": "c", "image": busybox, "command": ["sh", "-c", keep], "volumeMounts": mounts}
    bodies = [
        deaths.pod(f"boot-{n}", busybox, [], containers=[container], volumes=VOLUMES, shareProcessNamespace=n == 0)
        for n in range(4)
    ]
    ended = deaths.pod("boot-once", busybox, ["true"], restartPolicy="Never")
    deaths.apply(cluster, [*bodies, ended])
    cluster.until("Completed", "get", "pod", "boot-once")
    names = [body["metadata"]["name"] for body in bodies]
    pods = [f"pod/{name}" for name in names]
    cluster.ok(cluster.kubectl("wait", "--for=condition=Ready", "--timeout=60s", *pods))
    uids = {each["metadata"]["uid"] for each in cluster.get("pods", "-l", "of=boot")["items"]}
    addresses = {each["status"]["podIP"] for each in cluster.get("pods", *names)["items"]}
    reboot.crash(cluster)
    if forgets:
        reboot.forget(cluster)
    cluster.ok(cluster.knarr("up"))
    for name in names:
        cluster.until("1 true", "get", "pod", name, "-o", f"jsonpath={RESTARTED}", seconds=60)
    assert {each["metadata"]["uid"] for each in cluster.get("pods", "-l", "of=boot")["items"]} == uids
    assert cluster.ok(cluster.kubectl("exec", "boot-1", "--", "cat", "/disk/runs")) == "x\nx\n"
    assert "Succeeded" in cluster.ok(cluster.kubectl("get", "pod", "boot-once", "-o", "jsonpath={.status.phase}"))
    held = {each["status"]["podIP"] for each in cluster.get("pods", *names)["items"]}
    assert len(held) == len(addresses) == len(names)
    cluster.ok(cluster.kubectl("delete", "pod", "-l", "of=boot", "--timeout=60s"))
    end = time.monotonic() + 20
    while (left := sorted(set(without_processes(cluster)) - set(before))) and time.monotonic() < end:
        time.sleep(0.2)  # an outside view has to look again
    assert left == []


RESTARTED = "{.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready}"
