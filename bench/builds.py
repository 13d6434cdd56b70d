"""Builds beside buildah: cold, cached, and after a one-line change, of eight Dockerfiles; and a COPY of 500 files.

Run: `.venv/bin/python -m bench.builds [--rounds 5]`, as root; needs busybox-static, and buildah for the comparison.
It serves a builder of its own (`knarr registry serve`) on a free port. Times are wall time of the whole command, so
they hold the start of the CLI. Yardsticks of the same run: the interpreter's start, and one crun or runc run.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

NAME = "knarr-bench-builds"
BASE = """FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox mkdir -p /tmp /root && /bin/busybox --install -s /bin"]
ENV PATH=/bin
CMD ["sh"]
"""
# Name → Dockerfile; `app` is the file that changes by one line.
FILES = {
    "web page": "FROM {base}\nCOPY site /www\nCOPY app /www/app\nCMD httpd -f -h /www",
    "script": "FROM {base}\nWORKDIR /srv\nCOPY app .\nENV A=1 B=2\nUSER 1000\nCMD ./app",
    "packages first": "FROM {base}\nRUN mkdir -p /lib/pkg && seq 20000 > /lib/pkg/index\nCOPY site/f1 /req\n"
    "RUN sort -rn /lib/pkg/index > /lib/pkg/sorted\nCOPY app /app\nCMD /app",
    "two stages": "FROM {base} AS build\nCOPY app /src/app\nRUN sort /src/app > /src/out\n"
    "FROM {base}\nCOPY --from=build /src/out /out\nCMD cat /out",
    "independent stages": "FROM {base} AS one\nRUN seq 50000 | sort -rn > /one\nFROM {base} AS two\n"
    "RUN seq 50000 | sort -rn > /two\nFROM {base}\nCOPY --from=one /one /\nCOPY --from=two /two /\nCOPY app /",
    "many small steps": "FROM {base}\n" + "".join(f"RUN echo {n} > /f{n}\n" for n in range(8)) + "COPY app /app",
    "large file": "FROM {base}\nCOPY large /large\nCOPY app /app",
    "scratch": 'FROM scratch\nCOPY busybox /busybox\nCOPY app /app\nENTRYPOINT ["/busybox"]',
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="knarr-bench-", dir="/var/tmp") as work:
        directory = Path(work)
        os.environ["XDG_CACHE_HOME"] = str(directory / "cache")
        # An installed knarr has its bytecode; with this set, an edited one would be compiled at every start.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        context = make_context(directory / "context")
        report("the interpreter's start", timed(lambda: run(sys.executable, "-c", "pass"), 10))
        with knarr(directory) as ours:
            builders = {"knarr": ours}
            if shutil.which("buildah"):
                builders["buildah"] = buildah(directory)
            ratios: dict[str, list[float]] = {"cold": [], "cached": [], "changed": []}
            for name, text in FILES.items():
                (context / "Dockerfile").write_text(text.format(base="localhost/base") + "\n")
                figures = {who: measure(build, context, arguments.rounds) for who, build in builders.items()}
                show(name, figures, ratios)
            for kind, found in ratios.items():
                if found:
                    print(f"median ratio buildah / knarr, {kind}: {statistics.median(found):.1f}")
            (context / "Dockerfile").write_text("FROM scratch\nCOPY site /www\n")
            for who, build in builders.items():
                report(f"COPY of 500 files, cold, {who}", timed(lambda b=build: b(context, False), arguments.rounds))


Build = Callable[[Path, bool], None]


def measure(build: Build, context: Path, rounds: int) -> dict[str, float]:
    """Medians in milliseconds."""
    cold = timed(lambda: build(context, False), rounds)
    build(context, True)
    cached = timed(lambda: build(context, True), rounds)

    def change() -> None:
        with (context / "app").open("a") as file:
            file.write(f"# {time.monotonic_ns()}\n")

    return {"cold": cold, "cached": cached, "changed": timed(lambda: build(context, True), rounds, change)}


def show(name: str, figures: dict[str, dict[str, float]], ratios: dict[str, list[float]]) -> None:
    for kind, found in ratios.items():
        line = f"{name:<20} {kind:<8}" + "".join(f" {who} {times[kind]:8.1f} ms" for who, times in figures.items())
        if "buildah" in figures:
            found.append(figures["buildah"][kind] / figures["knarr"][kind])
            line += f"   {found[-1]:5.1f}x"
        print(line, flush=True)


def timed(act: Callable[[], None], rounds: int, before: Callable[[], None] = lambda: None) -> float:
    times = []
    for _ in range(rounds):
        before()
        began = time.perf_counter()
        act()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def report(what: str, milliseconds: float) -> None:
    print(f"{what:<40} {milliseconds:8.1f} ms", flush=True)


def make_context(root: Path) -> Path:
    (root / "site").mkdir(parents=True)
    for number in range(500):
        (root / "site" / f"f{number}").write_text(f"<p>{number}</p>\n" * 50)
    shutil.copy(str(shutil.which("busybox")), root / "busybox")
    (root / "large").write_bytes(os.urandom(50_000_000))
    (root / "app").write_text("#!/bin/sh\necho hello\n")
    (root / "app").chmod(0o755)
    base = root / "base"
    base.mkdir()
    shutil.copy(root / "busybox", base / "busybox")
    (base / "Dockerfile").write_text(BASE)
    (root / ".dockerignore").write_text("base\nDockerfile\n")
    return root


@contextlib.contextmanager
def knarr(directory: Path) -> Iterator[Build]:
    program = [sys.executable, "-m", "knarr"]
    serve = [*program, "registry", "serve", "--name", NAME, "--data-dir", str(directory / "state")]
    server = subprocess.Popen([*serve, "--registry-port", str(free_port())], stderr=subprocess.PIPE)
    assert server.stderr is not None
    try:
        while b"event=ready" not in (line := server.stderr.readline()):
            if not line:
                raise SystemExit("knarr registry serve did not start")
        build = [*program, "build", "--name", NAME, "-q"]
        run(*build, "-t", "localhost/base", str(directory / "context" / "base"))

        def one(context: Path, uses_cache: bool) -> None:
            run(*build, *([] if uses_cache else ["--no-cache"]), "-t", "bench", str(context))

        yield one
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        shutil.rmtree(Path("/run/knarr") / NAME, ignore_errors=True)


def buildah(directory: Path) -> Build:
    """overlay storage, and containers by the first way that works here; chroot isolation is buildah's fastest."""
    program = ["buildah", "--root", str(directory / "peer"), "--runroot", str(directory / "peer-run")]
    program += ["--storage-driver", "overlay"]
    build = [*program, "build", "--isolation", "chroot", "-q", "--layers"]
    run(*build, "-t", "localhost/base", str(directory / "context" / "base"))

    def one(context: Path, uses_cache: bool) -> None:
        run(*build, *([] if uses_cache else ["--no-cache"]), "-t", "bench", str(context))

    return one


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command[:4])}: {done.stderr[-2000:]}")


if __name__ == "__main__":
    main()
