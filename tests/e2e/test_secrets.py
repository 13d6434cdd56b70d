"""Where a Secret's value lies while a pod uses it: never on disk, never in an argument or log, never open to others."""

import base64
import os
import subprocess
from pathlib import Path

from tests.e2e.cluster import Cluster

CANARY, BUILD_CANARY = "canary-" + "of-a-pod-5521", "canary-" + "of-a-build-7719"
POD = """
apiVersion: v1
kind: Pod
metadata: {name: canary}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: IMAGE
    command: [sleep, "600"]
    env: [{name: KEY, valueFrom: {secretKeyRef: {name: canary, key: key}}}]
    volumeMounts: [{name: files, mountPath: /files}]
    readinessProbe: {exec: {command: [sh, -c, "test $KEY = $(cat /files/key)"]}}
  volumes: [{name: files, secret: {secretName: canary}}]
"""


def holding(words: list[str], *places: Path) -> list[str]:
    """Files of the disk with one of the words; what lies on a tmpfs below is another file system and no disk's."""
    found = []
    for place in places:
        device = place.stat().st_dev
        for directory, names, files in os.walk(place):
            names[:] = [name for name in names if (Path(directory) / name).lstat().st_dev == device]
            for path in (Path(directory) / file for file in files):
                is_here = path.is_file() and path.stat().st_dev == device
                if is_here and any(word.encode() in path.read_bytes() for word in words):
                    found.append(str(path))
    return found


def arguments() -> bytes:
    """The command lines of all processes."""
    found = b""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += path.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def as_nobody(command: str) -> str:
    return subprocess.run(["sh", "-c", command], user=65534, capture_output=True, text=True, check=False).stdout


def test_a_pods_secret_stays_off_the_disk_and_out_of_others_sight(cluster: Cluster, busybox: str) -> None:
    cluster.ok(cluster.kubectl("create", "secret", "generic", "canary", f"--from-literal=key={CANARY}"))
    cluster.ok(cluster.kubectl("apply", "-f", "-", text=POD.replace("IMAGE", busybox)))
    cluster.ok(cluster.kubectl("wait", "--for=condition=Ready", "pod/canary", "--timeout=30s"))
    run_dir = Path("/run/knarr") / cluster.name
    encoded = base64.b64encode(CANARY.encode()).decode()
    try:
        assert holding([CANARY, encoded], cluster.data_dir) == []
        assert CANARY.encode() not in arguments()
        assert as_nobody(f"cat {run_dir}/*/*/config.json {run_dir}/*/*/*/config.json; ls {run_dir} {run_dir}/*") == ""
        assert as_nobody(f"find {cluster.data_dir} -readable 2>/dev/null") == ""
    finally:
        cluster.kubectl("delete", "pod/canary", "secret/canary")


def test_a_builds_secret_is_in_no_layer_record_or_log(cluster: Cluster) -> None:
    context = cluster.context(
        Dockerfile=(
            "FROM scratch\nCOPY busybox /bin/busybox\nRUN --mount=type=secret,id=token "
            '["/bin/busybox", "cmp", "/run/secrets/token", "/run/secrets/token"]\n'
        )
    )
    secret = cluster.directory / "token"
    secret.write_text(BUILD_CANARY)
    cluster.ok(cluster.knarr("build", "--secret", f"id=token,src={secret}", str(context)))
    assert holding([BUILD_CANARY], cluster.data_dir, Path("/run/knarr") / cluster.name) == []
