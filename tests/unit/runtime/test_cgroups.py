"""Control groups in directories laid out like both versions."""

from pathlib import Path

import pytest

from knarr.runtime.cgroups import Cgroups, Resources, limits_v1, limits_v2, memory_limits_v1, weight_of_shares

STAT = "cache 1\ntotal_rss 300\ntotal_inactive_file 100\ntotal_pgfault 7\ntotal_pgmajfault 2\n"


def write(root: Path, **files: str) -> None:
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_version_1_figures(tmp_path: Path) -> None:
    write(
        tmp_path,
        cpuacct__k__cpuacct_dot_usage="5000\n",
        memory__k__memory_dot_stat=STAT,
        memory__k__memory_dot_usage_in_bytes="1000\n",
        memory__k__memory_dot_limit_in_bytes="9223372036854771712\n",
        memory__k__memory_dot_oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
        pids__k__pids_dot_current="4\n",
    )
    groups = Cgroups(tmp_path)
    usage = groups.usage("/k")
    assert usage is not None
    assert (usage.cpu_nanoseconds, usage.memory_usage, usage.memory_working_set, usage.memory_rss, usage.pids) == (
        5000,
        1000,
        900,
        300,
        4,
    )
    assert groups.oom_kills("/k") == 3
    assert groups.usage("/gone") is None
    assert groups.oom_kills("/gone") == 0


def test_version_2_figures(tmp_path: Path) -> None:
    write(
        tmp_path,
        cgroup_dot_controllers="cpu memory pids\n",
        k__cpu_dot_stat="usage_usec 5\nuser_usec 3\n",
        k__memory_dot_stat="anon 300\ninactive_file 100\n",
        k__memory_dot_current="1000\n",
        k__memory_dot_max="max\n",
        k__memory_dot_events="low 0\noom_kill 1\n",
        k__pids_dot_current="4\n",
    )
    groups = Cgroups(tmp_path)
    assert groups.is_v2
    usage = groups.usage("/k")
    assert usage is not None
    assert (usage.cpu_nanoseconds, usage.memory_working_set, usage.memory_limit) == (5000, 900, 0)
    assert groups.oom_kills("/k") == 1


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 39), (262144, 10000), (0, 1), (1 << 30, 10000)])
def test_shares_become_weights(shares: int, weight: int) -> None:
    assert weight_of_shares(shares) == weight


def test_only_what_is_set_is_written() -> None:
    assert list(limits_v1(Resources())) == list(limits_v2(Resources())) == []
    wanted = Resources(cpu_shares=1024, cpu_quota=-1, memory_limit=5)
    assert list(limits_v1(wanted)) == [
        ("cpu", "cpu.shares", "1024"),
        ("cpu", "cpu.cfs_quota_us", "-1"),
    ]
    assert memory_limits_v1(wanted, None) == [("memory.limit_in_bytes", "5")]
    assert list(limits_v2(wanted)) == [("cpu.weight", "39"), ("cpu.max", "max 100000"), ("memory.max", "5")]


MEMORY, BOTH = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"


@pytest.mark.parametrize(
    ("memory", "swap", "now", "written"),
    [
        (20, 20, 10, [(BOTH, "20"), (MEMORY, "20")]),  # grows: the outer limit first
        (5, 5, 10, [(MEMORY, "5"), (BOTH, "5")]),  # shrinks: the inner first
        (20, 0, 10, [(BOTH, "20"), (MEMORY, "20")]),  # nobody named swap, and it must not stand in the way
        (5, 0, 10, [(MEMORY, "5")]),
        (-1, -1, 10, [(BOTH, "-1"), (MEMORY, "-1")]),
        (20, 20, None, [(MEMORY, "20")]),  # a kernel that does not count swap
        (0, 0, 10, []),
    ],
)
def test_memory_never_outgrows_memory_with_swap(
    memory: int, swap: int, now: int | None, written: list[tuple[str, str]]
) -> None:
    assert memory_limits_v1(Resources(memory_limit=memory, memory_swap_limit=swap), now) == written


def test_groups_are_made_and_removed_with_all_below(tmp_path: Path) -> None:
    for controller in ("memory", "pids"):
        (tmp_path / controller).mkdir()
    groups = Cgroups(tmp_path)
    groups.create("/k/pod/c")
    groups.create("/k/pod/c")
    assert (tmp_path / "pids" / "k" / "pod" / "c").is_dir()
    assert groups.remove("/k")
    assert groups.remove("/k")
    assert list(tmp_path.glob("*/*")) == []


def test_a_group_in_use_is_reported(tmp_path: Path) -> None:
    write(tmp_path, memory__k__stays="")
    assert not Cgroups(tmp_path).remove("/k")


def test_version_2_groups_get_the_controllers_that_are_there(tmp_path: Path) -> None:
    write(tmp_path, cgroup_dot_controllers="cpu memory hugetlb\n", k__cgroup_dot_controllers="memory\n")
    Cgroups(tmp_path).create("/k/pod")
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +memory"
    assert (tmp_path / "k" / "cgroup.subtree_control").read_text() == "+memory"
    assert (tmp_path / "k" / "pod").is_dir()


def test_version_2_says_whether_the_kernel_counts_swap(tmp_path: Path) -> None:
    write(tmp_path, cgroup_dot_controllers="memory\n", k__memory_dot_max="max\n")
    groups = Cgroups(tmp_path)
    assert not groups.bounds_swap()
    write(tmp_path, k__memory_dot_swap_dot_max="max\n")
    assert groups.bounds_swap()


def test_a_process_enters_a_group_of_version_2_that_is_made_for_it(tmp_path: Path) -> None:
    write(tmp_path, cgroup_dot_controllers="memory\n", k__cgroup_dot_controllers="memory\n")
    Cgroups(tmp_path).enter("/k/roles")
    assert (tmp_path / "k" / "roles" / "cgroup.procs").read_text() == "0"


def test_version_2_says_whether_a_group_was_given_the_memory_controller(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    for name, controllers in (("with", "cpu memory\n"), ("without", "cpu pids\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.controllers").write_text(controllers)
    groups = Cgroups(tmp_path)
    assert [groups.bounds_memory_of(path) for path in ("/with", "/without", "/none")] == [True, False, False]


@pytest.mark.parametrize("file", ["memory.stat", "memory.current"])
def test_a_group_whose_files_cannot_be_read_any_more_is_gone(tmp_path: Path, file: str) -> None:
    write(tmp_path, cgroup_dot_controllers="memory\n")
    (tmp_path / "k" / file).mkdir(parents=True)  # reading it is another error than that of an absent one
    (tmp_path / "k" / "memory.events").mkdir()
    groups = Cgroups(tmp_path)
    assert groups.usage("/k") is None
    assert groups.oom_kills("/k") == 0
