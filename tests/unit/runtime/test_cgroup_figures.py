"""Figures for metrics, out of directories laid out like both versions of control groups."""

from pathlib import Path

from knarr.runtime import cgroup_figures
from knarr.runtime.cgroup_figures import Cpu, Disk, Figures, HugePages, Memory, Pressure
from knarr.runtime.cgroups import Cgroups

V1 = {
    "cpuacct/k/cpuacct.stat": "user 300\nsystem 200\n",
    "cpu/k/cpu.stat": "nr_periods 5\nnr_throttled 2\nthrottled_time 7000\n",
    "cpu/k/cpu.cfs_period_us": "100000\n",
    "cpu/k/cpu.cfs_quota_us": "20000\n",
    "cpu/k/cpu.shares": "1024\n",
    "memory/k/memory.stat": (
        "cache 1\ntotal_cache 10\ntotal_mapped_file 11\ntotal_swap 12\n"
        "pgfault 1\npgmajfault 2\ntotal_pgfault 3\ntotal_pgmajfault 4\n"
    ),
    "memory/k/memory.kmem.usage_in_bytes": "13\n",
    "memory/k/memory.max_usage_in_bytes": "14\n",
    "memory/k/memory.failcnt": "15\n",
    "memory/k/memory.limit_in_bytes": "67108864\n",
    "memory/k/memory.soft_limit_in_bytes": "9223372036854771712\n",
    "memory/k/memory.memsw.limit_in_bytes": "67108864\n",
    "memory/k/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    "blkio/k/blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Write 512\n8:0 Total 4608\nTotal 4608\n",
    "blkio/k/blkio.throttle.io_serviced_recursive": "8:0 Read 1\n8:0 Write 2\nTotal 3\n",
    "hugetlb/k/hugetlb.2MB.usage_in_bytes": "2097152\n",
    "hugetlb/k/hugetlb.2MB.max_usage_in_bytes": "4194304\n",
    "hugetlb/k/hugetlb.2MB.rsvd.usage_in_bytes": "9\n",
    "pids/k/cgroup.procs": "10\n11\n",
    "pids/k/pids.current": "4\n",
    "pids/k/pids.max": "max\n",
}
V2 = {
    "cgroup.controllers": "cpu memory pids io\n",
    "k/cpu.stat": (
        "usage_usec 500\nuser_usec 300\nsystem_usec 200\nnr_periods 5\nnr_throttled 2\nthrottled_usec 7\nnr_bursts 0\n"
    ),
    "k/cpu.max": "20000 100000\n",
    "k/cpu.weight": "39\n",
    "k/memory.stat": "anon 9\nfile 10\nkernel 13\nfile_mapped 11\npgfault 3\npgmajfault 4\n",
    "k/memory.swap.current": "12\n",
    "k/memory.peak": "14\n",
    "k/memory.events": "low 0\nhigh 0\nmax 15\noom 3\noom_kill 3\n",
    "k/memory.max": "67108864\n",
    "k/memory.low": "0\n",
    "k/memory.swap.max": "max\n",
    "k/io.stat": "8:0 rbytes=4096 wbytes=512 rios=1 wios=2 dbytes=0 dios=0\n7:0 \n",
    "k/hugetlb.2MB.current": "2097152\n",
    "k/cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=9000000\n",
    "k/memory.pressure": (
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=2000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n"
    ),
    "k/cgroup.procs": "10\n11\n",
    "k/pids.current": "4\n",
    "k/pids.max": "100\n",
}


def laid_out(root: Path, files: dict[str, str]) -> Cgroups:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return Cgroups(root)


def test_version_1_tells_all_of_them(tmp_path: Path) -> None:
    assert cgroup_figures.read(laid_out(tmp_path, V1), "/k") == Figures(
        cpu=Cpu(
            user=3_000_000_000,
            system=2_000_000_000,
            periods=5,
            throttled_periods=2,
            throttled=7000,
            period=100000,
            quota=20000,
            shares=1024,
        ),
        memory=Memory(
            cache=10,
            mapped_file=11,
            kernel=13,
            swap=12,
            usage_max=14,
            failures=15,
            own_faults=1,
            own_major_faults=2,
            faults=3,
            major_faults=4,
            limit=64 << 20,
            reservation=0,
            swap_limit=64 << 20,
        ),
        disks=(Disk("8:0", 4096, 512, 1, 2),),
        huge_pages=(HugePages("2MB", 2 << 20, 4 << 20),),
        processes=2,
        threads=4,
        threads_max=0,
        oom_kills=3,
    )


def test_version_2_tells_all_of_them(tmp_path: Path) -> None:
    assert cgroup_figures.read(laid_out(tmp_path, V2), "/k") == Figures(
        cpu=Cpu(
            user=300_000,
            system=200_000,
            periods=5,
            throttled_periods=2,
            throttled=7000,
            period=100000,
            quota=20000,
            shares=998,
        ),
        memory=Memory(
            cache=10,
            mapped_file=11,
            kernel=13,
            swap=12,
            usage_max=14,
            failures=15,
            own_faults=3,
            own_major_faults=4,
            faults=3,
            major_faults=4,
            limit=64 << 20,
        ),
        disks=(Disk("8:0", 4096, 512, 1, 2), Disk("7:0")),
        huge_pages=(HugePages("2MB", 2 << 20, 0),),
        pressure=(Pressure("cpu", 9_000_000, 0), Pressure("memory", 2_000_000, 1_000_000)),
        processes=2,
        threads=4,
        threads_max=100,
        oom_kills=3,
    )


def test_a_group_that_is_gone_tells_zeros(tmp_path: Path) -> None:
    for number, files in enumerate((V1, V2)):
        found = cgroup_figures.read(laid_out(tmp_path / str(number), files), "/gone")
        assert found == Figures(cpu=Cpu(), memory=Memory())


def test_disks_that_share_a_line_keep_the_figures_with_the_last(tmp_path: Path) -> None:
    files = {"k/io.stat": "7:7 7:6 8:0 rbytes=1 wbytes=2 rios=3 wios=4\n\n", "k/cpu.max": "max\n"}
    found = cgroup_figures.read(laid_out(tmp_path, {**V2, **files}), "/k")
    assert found.disks == (Disk("7:7"), Disk("7:6"), Disk("8:0", 1, 2, 3, 4))
    assert (found.cpu.quota, found.cpu.period) == (None, 0)
