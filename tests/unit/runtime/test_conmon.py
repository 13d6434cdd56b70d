"""conmon's command line and answers, exec specifications, and records."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from knarr.base.errors import Invalid, Unavailable
from knarr.base.ids import ContainerId
from knarr.runtime import bundle, conmon, exec_session, launcher
from knarr.runtime.runtime import ContainerSpec, ExecSpec


def line(**words: bool) -> list[str]:
    spec = ContainerSpec(id=ContainerId("c1"), oci={}, log_path=Path("/l/0.log"), cgroup_path="/k", **words)
    return conmon.arguments(spec, Path("/b"), Path("/e"), ["/usr/bin/crun", "--root=/r"], "/usr/bin/conmon")


def test_the_command_line_names_log_exit_code_and_runtime() -> None:
    found = line()
    assert found[0] == "/usr/bin/conmon"
    assert found[found.index("-r") + 1 : found.index("-r") + 3] == ["/usr/bin/crun", "--runtime-arg=--root=/r"]
    assert found[found.index("-l") + 1] == "k8s-file:/l/0.log"
    assert found[found.index("--exit-dir") + 1] == "/e"
    assert "-i" not in found
    assert "-t" not in found


def test_standard_input_stays_open_unless_it_is_for_one_client() -> None:
    assert {"-i", "--leave-stdin-open"} <= set(line(keeps_stdin=True))
    assert "--leave-stdin-open" not in line(keeps_stdin=True, closes_stdin_once=True)
    assert "-t" in line(has_terminal=True)


def test_the_answer_is_a_pid_or_the_runtimes_reason() -> None:
    assert conmon.created_pid(b'{"pid":42}\n') == 42
    assert conmon.created_pid(b'{"data":42}\n') == 42
    with pytest.raises(Invalid, match="no such file"):
        conmon.created_pid(b'{"pid":-1,"message":"no such file\\n"}\n')
    with pytest.raises(Unavailable):
        conmon.created_pid(b"")


def test_an_exec_has_the_containers_process_with_its_own_words() -> None:
    process = {"args": ["sh"], "env": ["PATH=/bin", "A=1"], "cwd": "/w", "user": {"uid": 5}, "noNewPrivileges": True}
    spec = ExecSpec(arguments=("ls",), env=("A=2",), has_terminal=True)
    assert exec_session.specification(process, spec) == {
        "args": ["ls"],
        "env": ["PATH=/bin", "TERM=xterm", "A=2"],
        "cwd": "/w",
        "user": {"uid": 5},
        "noNewPrivileges": True,
        "terminal": True,
    }
    assert process["args"] == ["sh"]


def test_records_survive_and_half_written_ones_count_as_none(tmp_path: Path) -> None:
    assert bundle.read_record(tmp_path) is None
    (tmp_path / bundle.RECORD).write_text('{"id": "c')
    assert bundle.read_record(tmp_path) is None
    record = bundle.Record(
        id=ContainerId("c1"),
        cgroup_path="/k",
        log_path="/l",
        has_terminal=False,
        pid=1,
        pid_started=2,
        monitor=3,
        monitor_started=4,
        started_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    bundle.write_record(tmp_path, record)
    assert bundle.read_record(tmp_path) == record


def test_exit_files_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "c1"
    assert bundle.read_exit(path) is None
    path.write_text("")
    assert bundle.read_exit(path) is None
    path.write_text("137\n")
    found = bundle.read_exit(path)
    assert found is not None
    assert found.code == 137


def test_a_pid_is_only_its_process_with_its_start_time() -> None:
    own = os.getpid()
    assert bundle.start_time(own) > 0
    assert bundle.open_process(own, bundle.start_time(own) + 1) is None
    found = bundle.open_process(own, bundle.start_time(own))
    assert found is not None
    os.close(found)
    assert bundle.start_time(1 << 22) == 0


def test_an_ended_process_that_nobody_reaped_is_no_process() -> None:
    child = subprocess.Popen(["true"])
    try:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert bundle.start_time(child.pid) > 0
        assert bundle.open_process(child.pid, bundle.start_time(child.pid)) is None
    finally:
        child.wait()


def test_only_what_may_be_a_pods_mount_is_left_out_of_the_lean_copy() -> None:
    lines = (
        "1 0 8:1 / / rw - ext4 /dev/sda rw",
        "2 1 0:1 / /sys/fs/cgroup rw - tmpfs cgroup rw",
        "3 1 0:2 / /run rw - tmpfs run rw",
        "4 3 0:3 / /run/knarr/knarr/rootfs/a/root rw - overlay overlay rw",
        "5 3 0:4 net:[1] /run/knarr/knarr/ns/a-net rw - nsfs nsfs rw",
        "6 1 0:5 / /var/lib/with\\040space rw shared:1 - tmpfs tmpfs rw",
        "7 1 8:2 / /home rw - ext4 /dev/sdb rw",
        "8 3 8:2 /v /run/knarr/knarr/rootfs/a/mapped/0 rw,idmapped - ext4 /dev/sdb rw",
        "9 1 8:3 / /var/lib/knarr/knarr/kubelet rw - ext4 /dev/sdc rw",
        "10 9 8:2 /w /var/lib/knarr/knarr/kubelet/pods/p/volume-subpaths/v/c/0 rw - xfs /dev/sdd rw",
    )
    needed = ("/run/knarr/knarr/runtime", "/sys/fs/cgroup")
    types = ["/run/knarr/knarr/rootfs/a/root", "/run/knarr/knarr/ns/a-net", "/var/lib/with space"]
    assert launcher.pod_mounts("\n".join(lines), needed) == types
    found = launcher.pod_mounts(
        "\n".join(lines), needed, ("/run/knarr/knarr/rootfs", "/var/lib/knarr/knarr/kubelet", "/hom")
    )
    assert found == [
        *types,
        "/run/knarr/knarr/rootfs/a/mapped/0",
        "/var/lib/knarr/knarr/kubelet/pods/p/volume-subpaths/v/c/0",
    ]
