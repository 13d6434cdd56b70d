"""A real cluster for end-to-end tests: the knarr command and a stock kubectl, as a user has them."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@dataclass(slots=True)
class Cluster:
    """Commands against one cluster. `directory` holds its kubeconfig and build contexts."""

    name: str
    directory: Path
    ports: dict[str, int]
    pod_network: str
    kubectl_program: str = "kubectl"
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def registry(self) -> str:
        return f"localhost:{self.ports['registry-port']}"

    @property
    def data_dir(self) -> Path:
        return Path("/var/lib/knarr") / self.name

    @property
    def variables(self) -> dict[str, str]:
        """The environment of its commands, with this cluster's kubeconfig."""
        return {**os.environ, **self.environment, "KUBECONFIG": str(self.directory / "kubeconfig")}

    def run(self, *words: str, text: str | None = None, seconds: float = 90) -> Answer:
        """Run a command with this cluster's kubeconfig."""
        stdin = {"input": text} if text is not None else {"stdin": subprocess.DEVNULL}
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env=self.variables,
            **stdin,  # type: ignore[call-overload]
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def knarr(self, verb: str, *words: str, text: str | None = None, seconds: float = 90) -> Answer:
        return self.run(sys.executable, "-m", "knarr", verb, "--name", self.name, *words, text=text, seconds=seconds)

    def kubectl(self, *words: str, text: str | None = None, seconds: float = 90) -> Answer:
        return self.run(self.kubectl_program, *words, text=text, seconds=seconds)

    def ok(self, answer: Answer) -> str:
        """Standard output of a command that must succeed."""
        assert answer.code == 0, f"exit code {answer.code}\n{answer.out}\n{answer.err}"
        return answer.out

    def up(self) -> str:
        flags = [word for key, port in self.ports.items() for word in (f"--{key}", str(port))]
        return self.ok(self.knarr("up", "--pod-network", self.pod_network, *flags))

    def get(self, *words: str) -> Any:
        """`kubectl get … -o json`, decoded."""
        return json.loads(self.ok(self.kubectl("get", *words, "-o", "json")))

    def until(self, pattern: str, *words: str, seconds: float = 30) -> str:
        """kubectl's output once it contains `pattern`; the watch is kubectl's, the bound is ours."""
        end = time.monotonic() + seconds
        while True:
            answer = self.kubectl(*words)
            if pattern in answer.out + answer.err:
                return answer.out
            assert time.monotonic() < end, f"never saw {pattern!r} in {' '.join(words)}:\n{answer.out}\n{answer.err}"
            time.sleep(0.1)  # kubectl has no "wait until this text": an outside view has to look again

    def context(self, **files: str) -> Path:
        """A build context with a static busybox and the given files (`__` in a name stands for a dot)."""
        busybox = shutil.which("busybox")
        assert busybox, "needs the package busybox-static"
        place = self.directory / f"context-{len(list(self.directory.iterdir()))}"
        place.mkdir()
        shutil.copy(busybox, place / "busybox")
        for name, text in files.items():
            (place / name.replace("__", ".")).write_text(text)
        return place
