"""The inner loop: save a one-line change, build, roll out, and the new pod answers; with knarr's own builder.

Run: `.venv/bin/python -m bench.inner_loop [--rounds 5]`, as root; needs busybox-static and kubectl. It makes a cluster
of its own (`bench-loop`) and deletes it. The clock starts when the file is saved and stops when the pod with the new
line is Running and Ready and has printed that line; the parts are shown beside.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NAME = "bench-loop"
PORTS = ("--port", "27643", "--registry-port", "27600", "--kubelet-port", "27650", "--pod-network", "10.246.0.0/16")
IMAGE = "localhost:27600/app"
BASE = """FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox mkdir -p /srv && /bin/busybox --install -s /bin"]
ENV PATH=/bin
"""
DOCKERFILE = f"FROM {IMAGE}-base\nCOPY app /srv/app\nCMD exec sh /srv/app\n"
APP = 'echo {text}\ntrap "exit 0" TERM\nwhile :; do sleep 1; done\n'
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: app, image: "IMAGE"}
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="knarr-bench-") as work:
        os.environ["HOME"] = work
        os.environ.pop("KUBECONFIG", None)
        try:
            knarr("up", *PORTS)
            loop(Path(work), arguments.rounds)
        finally:
            knarr("delete", "--yes")


def loop(work: Path, rounds: int) -> None:
    base, context = work / "base", work / "app"
    base.mkdir()
    context.mkdir()
    shutil.copy(str(shutil.which("busybox")), base / "busybox")
    (base / "Dockerfile").write_text(BASE)
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "app").write_text(APP.format(text="round-0"))
    knarr("build", "-q", "-t", f"{IMAGE}-base", str(base))
    knarr("build", "-q", "-t", f"{IMAGE}:v0", str(context))
    kubectl("apply", "-f", "-", said=DEPLOYMENT.replace("IMAGE", f"{IMAGE}:v0"))
    kubectl("rollout", "status", "deployment/app", "--timeout=60s")
    wholes, builds, rollouts = [], [], []
    for number in range(1, rounds + 1):
        began = time.perf_counter()
        (context / "app").write_text(APP.format(text=f"round-{number}"))
        knarr("build", "-q", "-t", f"{IMAGE}:v{number}", str(context))
        built = time.perf_counter()
        kubectl("set", "image", "deployment/app", f"app={IMAGE}:v{number}")
        kubectl("rollout", "status", "deployment/app", "--timeout=60s")
        ended = time.perf_counter()
        printed = kubectl("logs", "deployment/app")
        if f"round-{number}" not in printed:
            raise SystemExit(f"the pod of round {number} printed {printed!r}")
        wholes.append(ended - began)
        builds.append(built - began)
        rollouts.append(ended - built)
    report("save → build → rollout done, new pod Ready", wholes)
    report("  of it knarr build", builds)
    report("  of it kubectl set image and rollout status", rollouts)


def report(what: str, seconds: list[float]) -> None:
    print(f"{what:<50} {statistics.median(seconds):6.2f} s  (best {min(seconds):.2f}, worst {max(seconds):.2f})")


def knarr(verb: str, *words: str) -> str:
    return run(sys.executable, "-m", "knarr", verb, "--name", NAME, *words)


def kubectl(*words: str, said: str = "") -> str:
    return run("kubectl", *words, said=said)


def run(*command: str, said: str = "") -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, input=said)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command[:5])}: {done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
