"""`--ssh ID[=SOCKET|KEY[,KEY]]`: which agent's socket stands for an id in `RUN --mount=type=ssh`.

Keys that are files are given to an ssh-agent of their own, which lives for as long as the build: the node is told a
socket, never a key. Its child ends it when standard input ends, so it does not outlive this process either.
"""

import contextlib
import os
import select
import subprocess
import tempfile
from pathlib import Path

from knarr.base.errors import Invalid

# The agent's child: adds the keys, says whose child it is, waits for the end of its input, and ends the agent: that
# would look for its child only once in ten seconds.
_COMMAND = 'ssh-add -q "$@" </dev/null && echo "$SSH_AGENT_PID" && cat >/dev/null; kill "$SSH_AGENT_PID"'
END_SECONDS = 5.0


def agents(given: list[str], stack: contextlib.ExitStack) -> dict[str, str]:
    """Sockets by id. Raises Invalid."""
    return dict(_agent(text, stack) for text in given)


def _agent(text: str, stack: contextlib.ExitStack) -> tuple[str, str]:
    """`ID`, `ID=SOCKET` or `ID=KEY,…`; without a path it is the socket that the environment names."""
    name, _, listed = text.partition("=")
    name = name or "default"
    paths = [path for path in listed.split(",") if path] or [os.environ.get("SSH_AUTH_SOCK", "")]
    if paths == [""]:
        raise Invalid(
            f"--ssh {name}: no agent runs (SSH_AUTH_SOCK is not set); start one with ssh-agent, or name its socket"
        )
    files = [path for path in paths if Path(path).is_file()]
    if files == paths:
        return name, _own(name, paths, stack)
    if len(paths) > 1:
        other = next(path for path in paths if path not in files)
        raise Invalid(f"--ssh {name}: {other} is not a key; several paths must all be keys")
    return name, str(Path(paths[0]).absolute())


def _own(name: str, keys: list[str], stack: contextlib.ExitStack) -> str:
    """The socket of an agent that holds these keys."""
    socket = f"{stack.enter_context(tempfile.TemporaryDirectory(prefix='knarr-ssh-'))}/agent"
    words = ["ssh-agent", "-a", socket, "sh", "-c", _COMMAND, "ssh-add", *(str(Path(key).absolute()) for key in keys)]
    # A session of its own has no terminal: a key with a passphrase is refused instead of asked for.
    environment = {**os.environ, "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"}
    try:
        program = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise Invalid(f"--ssh {name}: ssh-agent is not installed; give an agent's socket instead of a key") from error
    watched: list[int] = []
    stack.callback(_end, program, watched)
    assert program.stdout is not None
    assert program.stderr is not None
    agent = program.stdout.readline().strip()
    if not agent.isdigit():
        said = program.stderr.read(4096).decode("utf-8", "replace").strip().splitlines()[:1]
        raise Invalid(f"--ssh {name}: {', '.join(keys)} cannot be used: {''.join(said) or 'ssh-add failed'}")
    watched.append(os.pidfd_open(int(agent)))
    return socket


def _end(program: "subprocess.Popen[bytes]", watched: list[int]) -> None:
    """Return when the child has ended, and its agent, of which `watched` has a descriptor if it holds keys."""
    for stream in (program.stdin, program.stdout, program.stderr):
        if stream is not None:
            stream.close()
    try:
        program.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
    for agent in watched:
        select.select([agent], [], [], END_SECONDS)
        os.close(agent)
