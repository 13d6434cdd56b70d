"""What `--ssh` means: the environment's agent, a socket, or keys that get an agent for as long as the build."""

import contextlib
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from knarr.base.errors import Invalid
from knarr.cli import build_ssh

needs_ssh = pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="ssh-agent is not installed")


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as opened:
        yield opened


@pytest.fixture
def environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def key(place: Path, passphrase: str = "") -> Path:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "of-a-test", "-f", str(place)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return place


def identities(agent: str) -> int:
    """How many keys the agent has (draft-ietf-sshm-ssh-agent, 3.5)."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(agent)
        connection.sendall(struct.pack(">IB", 1, 11))
        with connection.makefile("rb") as answer:
            (length,) = struct.unpack(">I", answer.read(4))
            kind, count = struct.unpack(">BI", answer.read(length)[:5])
    assert kind == 12
    return int(count)


@pytest.mark.usefixtures("environment")
def test_an_agent_is_the_environments_or_the_socket_that_is_named(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    os.environ["SSH_AUTH_SOCK"] = "/run/agent"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{tmp_path}/s")
        found = build_ssh.agents(["default", f"x={tmp_path}/s"], stack)
    assert found == {"default": "/run/agent", "x": f"{tmp_path}/s"}
    del os.environ["SSH_AUTH_SOCK"]
    with pytest.raises(Invalid, match="no agent runs"):
        build_ssh.agents(["default"], stack)


@needs_ssh
def test_keys_have_an_agent_until_the_build_ends(tmp_path: Path) -> None:
    one, two = key(tmp_path / "one"), key(tmp_path / "two")
    with socket.socket(socket.AF_UNIX) as connection:
        with contextlib.ExitStack() as stack:
            agent = build_ssh.agents([f"default={one},{two}"], stack)["default"]
            assert identities(agent) == 2
            connection.connect(agent)
        connection.setblocking(False)
        with contextlib.suppress(ConnectionResetError):  # it ended before it took the connection
            assert connection.recv(1) == b"", "the agent has not ended"
    assert not Path(agent).exists()
    assert not Path(agent).parent.exists()


@needs_ssh
def test_a_key_that_cannot_be_used_is_told(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    (tmp_path / "junk").write_text("no key")
    (tmp_path / "junk").chmod(0o600)
    with pytest.raises(Invalid, match="junk cannot be used: Error loading key"):
        build_ssh.agents([f"default={tmp_path}/junk"], stack)
    with pytest.raises(Invalid, match="locked cannot be used"):
        build_ssh.agents([f"default={key(tmp_path / 'locked', 'secret')}"], stack)
    with pytest.raises(Invalid, match="none is not a key; several paths must all be keys"):
        build_ssh.agents([f"default={tmp_path}/junk,{tmp_path}/none"], stack)
