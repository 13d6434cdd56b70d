"""The image verbs as a user types them, against `knarr registry serve`. Needs root, a runtime and a static busybox."""

import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from knarr.base import linux
from knarr.cli import printing

BUSYBOX = shutil.which("busybox")
pytestmark = pytest.mark.skipif(os.getuid() != 0 or BUSYBOX is None, reason="needs root and busybox-static")
DOCKERFILE = """FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox --install -s /bin && echo made > /made"]
ENV PATH=/bin
COPY site /site
CMD ["sh"]
"""


class Serve:
    """`knarr registry serve` under a name of its own, and the CLI that talks to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = f"knarr-e2e-{os.getpid()}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.run_dir = Path("/run/knarr") / self.name
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "knarr", "registry", "serve", "--name", self.name]
        command += ["--data-dir", str(self.directory / "state"), "--registry-port", str(self.port)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE)
        assert self.process.stderr is not None
        while b"event=ready" not in (line := self.process.stderr.readline()):
            assert line, "knarr registry serve ended"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self._reap()
        shutil.rmtree(self.run_dir, ignore_errors=True)

    def _reap(self) -> None:
        self.process.wait(30)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def command(self, verb: str, *words: str) -> list[str]:
        return [sys.executable, "-m", "knarr", verb, "--name", self.name, *words]

    def knarr(self, verb: str, *words: str, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "XDG_CACHE_HOME": str(self.directory / "xdg"), "HOME": str(self.directory)}
        done = subprocess.run(
            self.command(verb, *words), capture_output=True, text=True, check=False, env=environment, input=stdin
        )
        assert done.returncode == code, done.stderr
        return done


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    running = Serve(tmp_path_factory.mktemp("serve"))
    yield running
    running.stop()


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("hello\n")
    shutil.copy(str(BUSYBOX), tmp_path / "busybox")
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    return tmp_path


def test_build_prints_progress_and_quiet_prints_the_digest_alone(serve: Serve, context: Path) -> None:
    first = serve.knarr("build", "-t", "web:v1", str(context))
    assert first.stdout == ""
    assert "[stage-0 2/5] RUN" in first.stderr
    assert "built web:v1 sha256:" in first.stderr
    again = serve.knarr("build", "-t", "web:v1", str(context))
    assert again.stderr.count("CACHED") == 3
    quiet = serve.knarr("build", "-q", "-t", "web:v1", str(context))
    assert quiet.stderr == ""
    assert quiet.stdout.strip() in again.stderr


def test_a_dockerfile_may_come_from_standard_input(serve: Serve, context: Path) -> None:
    text = "FROM scratch\nCOPY site/index.html /\n"
    serve.knarr("build", "-f", "-", "-t", "stdin", str(context), stdin=text)
    assert "COPY site/index.html /" in serve.knarr("history", "stdin").stdout


def test_what_dockerignore_leaves_out_is_not_even_read(serve: Serve, context: Path) -> None:
    (context / "site" / "dangling").symlink_to("/nowhere")
    os.mkfifo(context / "site" / "pipe")
    (context / ".dockerignore").write_text("site/pipe\n")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    serve.knarr("build", "-t", "ignore", str(context))


def test_images_are_listed_tagged_inspected_and_removed(serve: Serve, context: Path) -> None:
    serve.knarr("build", "-t", "localhost:5000/time-date:v1", str(context))
    serve.knarr("tag", "localhost:5000/time-date:v1", "localhost:5000/time-date:v2")
    table = serve.knarr("images", "localhost:5000/time-date").stdout.splitlines()
    assert table[0].split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert sorted(line.split()[1] for line in table[1:]) == ["v1", "v2"]
    (inspected,) = json.loads(serve.knarr("inspect", "localhost:5000/time-date:v2").stdout)
    assert inspected["Config"]["Cmd"] == ["sh"]
    removed = serve.knarr("rmi", "localhost:5000/time-date:v2").stdout
    assert "Untagged: localhost:5000/time-date:v2" in removed
    serve.knarr("rmi", "localhost:5000/time-date:v2", code=printing.EXIT_MISSING)


def test_an_archive_is_saved_and_loaded(serve: Serve, context: Path) -> None:
    serve.knarr("build", "-t", "packed:1", str(context))
    archive = context / "packed.tar"
    serve.knarr("save", "-o", str(archive), "packed:1")
    serve.knarr("rmi", "packed:1")
    assert serve.knarr("load", "-i", str(archive)).stdout == "Loaded image: packed:1\n"
    serve.knarr("save", "-o", str(context / "none.tar"), "nothing:1", code=printing.EXIT_MISSING)
    assert not (context / "none.tar").exists()


def test_a_push_and_a_pull_print_the_digest(serve: Serve, context: Path) -> None:
    name = f"localhost:{serve.port}/pushed:1"
    digest = serve.knarr("build", "-q", "-t", name, str(context)).stdout
    assert serve.knarr("push", name).stdout == digest
    serve.knarr("rmi", "-f", name)
    serve.knarr("pull", f"localhost:{serve.port}/nothing:1", code=printing.EXIT_MISSING)


@pytest.mark.parametrize(
    ("dockerfile", "said"),
    [
        ("FROM scratch\nCOPPY a b\n", 'error: Dockerfile:2: unknown instruction "COPPY"; did you mean COPY?'),
        ("FROM scratch\nCOPY nothere /\n", "'nothere' is not there in the build context"),
        ("FROM scratch\nCOPY ../x /\n", "../x lies outside the build context"),
        ("FROM scratch\nRUN /none\n", "Dockerfile:2"),
        ("FROM scratch\nFROM localhost:1/none\n", "error: Dockerfile:2: image localhost:1/none: "),
        ("FROM scratch\nCOPY --from=localhost:1/none /x /\n", "error: Dockerfile:2: image localhost:1/none: "),
    ],
)
def test_a_build_that_fails_says_where_and_why(serve: Serve, context: Path, dockerfile: str, said: str) -> None:
    (context / "Dockerfile").write_text(dockerfile)
    done = subprocess.run(serve.command("build", str(context)), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_secret_is_nowhere_after_the_build(serve: Serve, context: Path) -> None:
    canary = "canary-of-the-secret"
    (context / "Dockerfile").write_text(
        DOCKERFILE + "RUN --mount=type=secret,id=tok test -s /run/secrets/tok && echo fine > /fine\n"
    )
    (context / ".dockerignore").write_text("token\n")
    (context / "token").write_text(canary)
    serve.knarr("build", "-t", "secret", "--secret", f"id=tok,src={context / 'token'}", str(context))
    for place in (serve.directory, serve.run_dir):
        for path in place.rglob("*"):
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes()
                content += gzip.decompress(content) if content.startswith(b"\x1f\x8b") else b""
                assert canary.encode() not in content, path


def test_a_server_killed_in_a_build_leaves_nothing_after_its_restart(serve: Serve, context: Path) -> None:
    (context / "Dockerfile").write_text(DOCKERFILE + "RUN echo started; sleep 1000\n")
    build = subprocess.Popen(serve.command("build", str(context)), stderr=subprocess.PIPE, text=True)
    assert build.stderr is not None
    while "| started" not in (line := build.stderr.readline()):
        assert line, "the build ended"
    serve.kill()
    build.wait(30)
    build.stderr.close()
    assert linux.mounts_below(serve.run_dir / "build")
    serve.start()
    assert linux.mounts_below(serve.run_dir / "build") == []
    assert list((serve.run_dir / "runtime" / "containers").iterdir()) == []
    assert list((serve.run_dir / "build").iterdir()) == []
    serve.knarr("build", "-t", "web:v1", "-f", "-", str(context), stdin=DOCKERFILE)


def test_prune_keeps_what_images_need(serve: Serve, context: Path) -> None:
    serve.knarr("build", "-t", "kept", str(context))
    serve.knarr("build", "-t", "lost", "-f", "-", str(context), stdin="FROM scratch\nCOPY site/index.html /lost\n")
    serve.knarr("rmi", "lost")
    assert "Total reclaimed space: " in serve.knarr("prune", "--all").stdout
    serve.knarr("save", "-o", str(context / "kept.tar"), "kept")
    assert "CACHED" not in serve.knarr("build", "-t", "kept", str(context)).stderr


def test_a_cache_in_a_directory_answers_a_build_of_which_nothing_else_is_left(serve: Serve, context: Path) -> None:
    where, words = context / "cache", ("-t", "cached", str(context))
    (context / ".dockerignore").write_text("cache\n")
    wanted = (f"--cache-to=type=local,dest={where},mode=max", f"--cache-from=type=local,src={where}")
    first = serve.knarr("build", *wanted, *words)
    assert f"warning: --cache-from: {where} holds no build cache" in first.stderr
    other = serve.knarr("build", f"--cache-to=type=local,dest={where},tag=other", *words)
    tags = [one["annotations"] for one in json.loads((where / "index.json").read_bytes())["manifests"]]
    assert [*tags[0].values(), *tags[1].values()] == ["latest", "other"]
    serve.knarr("rmi", "cached")
    serve.knarr("prune", "--all")
    again = serve.knarr("build", *wanted, *words)
    assert again.stderr.count("CACHED") == 3
    digest = other.stderr.rpartition("sha256:")[2].split()[0]
    assert f"sha256:{digest}" in again.stderr
    assert "knarr.local" not in (serve.directory / "state" / "images" / "names.json").read_text()
    (where / "index.json").write_text('{"manifests": 3}')
    broken = serve.knarr("build", wanted[1], *words, code=printing.EXIT_USAGE)
    assert "is no index of an OCI layout" in broken.stderr


def test_nobody_serving_is_a_clear_error(context: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "knarr", "build", "--name", "nobody", str(context)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == printing.EXIT_NOT_RUNNING
    assert done.stderr.splitlines()[0] == "error: the cluster nobody is not running"
