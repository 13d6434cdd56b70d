"""The node's latencies as one client sees them: pods, restarts, exec, logs; then 100 pods: memory and idle CPU.

Measured as the peers were: kubectl from outside, one watch for the pods' states. Yardsticks of the same run stand
beside the figures, since all of them move with the machine: a spawned process, crun and runc with nothing around them,
an fsync, and kubectl's own time. Needs root; makes a cluster of its own and deletes it.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import outside
import stage as stages
from stage import PODS, Stage, is_ready, is_running, restarts

NAME, PORT, NETWORK = "benchnode", 26700, "10.247.128.0/17"
HTTPD = {
    "command": ["httpd", "-f", "-p", "8080", "-h", "/www"],
    "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
}
COMMAND = {"readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1}}
LIVENESS = {
    "livenessProbe": {
        "exec": {"command": ["sh", "-c", "! test -e /tmp/bad"]},
        "periodSeconds": 1,
        "failureThreshold": 1,
    }
}
IDLE_PODS, IDLE_SECONDS = 100, 20.0


def timed(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def yardsticks(count: int) -> None:
    """What the machine takes for the primitives below every figure."""
    took = [timed(lambda: subprocess.run(["/bin/true"], check=True)) for _ in range(count)]
    outside.line("yardstick: spawn a process", took, "s", "–", "–")
    with tempfile.TemporaryDirectory() as directory:
        for runtime in ("crun", "runc"):
            if shutil.which(runtime):
                took = [run_bare(runtime, Path(directory), number) for number in range(count)]
                outside.line(f"yardstick: {runtime} run", took, "s", "–", "0.008 / 0.0245 s")
        with open(Path(directory, "file"), "wb", buffering=0) as file:
            took = [timed(lambda: (file.write(b"x" * 4096), os.fsync(file.fileno()))) for _ in range(count)]
            outside.line("yardstick: fsync of 4 KiB", took, "s", "–", "0.0002 s")


def run_bare(runtime: str, directory: Path, number: int) -> float:
    """Seconds of one container without network by the runtime alone; where crun does not see hybrid cgroups."""
    bundle = directory / runtime
    if not bundle.exists():
        (bundle / "rootfs").mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "busybox", bundle / "rootfs" / "busybox")
        subprocess.run([runtime, "spec"], cwd=bundle, check=True)
        config = json.loads((bundle / "config.json").read_text())
        config["process"] |= {"terminal": False, "args": ["/busybox", "true"]}
        (bundle / "config.json").write_text(json.dumps(config))
    command = [runtime, "run", f"bench-{os.getpid()}-{number}"]
    if Path("/sys/fs/cgroup/unified").is_mount():
        command = ["unshare", "--mount", "sh", "-c", 'umount /sys/fs/cgroup/unified; exec "$@"', "sh", *command]
    began = time.monotonic()
    subprocess.run(command, cwd=bundle, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def pod_life(stage: Stage, count: int) -> None:
    """Create → Running, → Ready; delete → gone, one pod at a time."""
    running, http_ready, command_ready, gone = [], [], [], []
    for number in range(count):
        pair = ((f"http-{number}", HTTPD, http_ready), (f"cmd-{number}", COMMAND, command_ready))
        for name, container, ready in pair:
            began = time.monotonic()
            stage.create(name, **container)
            running.append(stage.pods.when(lambda now, name=name: name in now and is_running(now[name])) - began)
            ready.append(stage.pods.when(lambda now, name=name: is_ready(now[name])) - began)
        began = time.monotonic()
        stage.api.call("DELETE", f"{PODS}/cmd-{number}")
        gone.append(stage.pods.when(lambda now, name=name: name not in now) - began)
        stage.delete(f"http-{number}")
    outside.line("pod create → Running, image present", running, "s", "≤ 0.080", "0.62 s")
    outside.line("pod create → Ready, httpGet, period 1 s", http_ready, "s", "≤ 0.250", "1.6 s")
    outside.line("pod create → Ready, command probe", command_ready, "s", "≤ 0.250", "1.6 s")
    outside.line("pod delete → gone, ends at once on TERM", gone, "s", "≤ 0.300", "8-10 s")


def liveness(stage: Stage, count: int) -> None:
    """From the file that fails the probe until the next run is Running; the pauses spread the probe's phase evenly."""
    took = []
    for number in range(count):
        name = f"live-{number}"
        stage.create(name, **LIVENESS)
        stage.pods.when(lambda now, name=name: name in now and is_running(now[name]))
        time.sleep(1 + number / count)  # the phase is the claim's own half second
        stage.kubectl("exec", name, "--", "touch", "/tmp/bad")
        began = time.monotonic()
        took.append(stage.pods.when(lambda now, name=name: restarts(now[name]) == 1 and is_running(now[name])) - began)
        stage.delete(name)
    outside.line("liveness failure → restarted, period 1 s", took, "s", "≤ 0.600", "0.81 s")


def streams(stage: Stage, count: int) -> None:
    """kubectl exec and logs, in turns with kubectl alone, so that what else the machine does hits all alike."""
    stage.create("x", command=["sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done; sleep 3600"])
    stage.pods.when(lambda now: "x" in now and is_running(now["x"]))
    words = {
        "kubectl version --client": ("version", "--client"),
        "kubectl get pod": ("get", "pod", "x"),
        "kubectl logs": ("logs", "x"),
        "kubectl exec true": ("exec", "x", "--", "true"),
    }
    took: dict[str, list[float]] = {what: [] for what in words}
    for number in range(count + 1):
        for what, command in words.items():
            seconds = stage.kubectl(*command)
            if number:  # the first round warms up
                took[what].append(seconds)
    aims = {"kubectl exec true": ("≤ 0.075", "0.116 s"), "kubectl logs": ("≤ 0.052", "0.066 s")}
    for what, values in took.items():
        outside.line(what, values, "s", *aims.get(what, ("–", "0.043 s" if "version" in what else "–")))
    stage.delete("x")


def hundred(stage: Stage) -> None:
    """All Ready; then what knarr keeps and does for them while nothing happens."""
    pids = stage.pids()
    time.sleep(2)  # what the measurements before left to do
    bare = outside.proportional_kib(pids)
    names = [f"idle-{number}" for number in range(IDLE_PODS)]
    began = time.monotonic()
    for name in names:
        stage.create(name)
    ready = stage.pods.when(lambda now: all(name in now and is_ready(now[name]) for name in names)) - began
    outside.line(f"{IDLE_PODS} pods created at once → all Ready", [ready], "s", "–", "–")
    time.sleep(5)
    monitors = conmons(stage.name)
    kept = outside.proportional_kib(monitors), outside.proportional_kib(pids) - bare
    outside.line("per pod: conmon (PSS)", [kept[0] / IDLE_PODS / 1024], "MiB", "–", "–")
    outside.line("per pod: growth of both processes (PSS)", [kept[1] / IDLE_PODS / 1024], "MiB", "–", "–")
    outside.line("per pod: all but the workload (PSS)", [sum(kept) / IDLE_PODS / 1024], "MiB", "≤ 2.5", "–")
    began, before = time.monotonic(), outside.cpu_seconds([*pids, *monitors])
    time.sleep(IDLE_SECONDS)
    used = 100 * (outside.cpu_seconds([*pids, *monitors]) - before) / (time.monotonic() - began)
    outside.line(f"idle CPU with {IDLE_PODS} pods, all processes", [used], "%", "≤ 5", "4.9 % (no pods)")
    began = time.monotonic()
    stage.delete(*names)
    outside.line(f"{IDLE_PODS} pods deleted → gone", [time.monotonic() - began], "s", "–", "–")


def conmons(name: str) -> list[int]:
    """The pids of the conmons of that cluster."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"conmon") and any(f"/run/knarr/{name}/".encode() in word for word in words):
                found.append(int(entry.name))
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=15)
    count = arguments.parse_args().count
    yardsticks(count)
    with stages.opened(NAME, PORT, NETWORK) as stage:
        pod_life(stage, count)
        liveness(stage, count)
        streams(stage, count)
        hundred(stage)


if __name__ == "__main__":
    main()
