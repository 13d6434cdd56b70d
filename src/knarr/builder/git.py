"""Git repositories as sources of files: ADD of a repository, and build contexts that are one.

`parse` reads `https://host/repo.git#ref:dir`, `git@host:repo.git`, `ssh://`, `git://` and the query form
(`?ref=…&subdir=…&checksum=…&submodules=false&keep-git-dir=1`). `commit_of` asks the remote which commit that means;
`checkout` fetches that one commit. git runs as a program of its own and never asks anybody for anything.
"""

import asyncio
import base64
import contextlib
import dataclasses
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from knarr.base import tasks
from knarr.base.errors import Invalid, NotFound, Unavailable
from knarr.base.removal import drop_tree
from knarr.builder.rootfs import Rootfs
from knarr.builder.trees import Entry

SECONDS_MAX = 1800.0
SUBMODULES_DEPTH_MAX = 8
_OUTPUT_MAX = 64 << 20
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SCP = re.compile(r"(?P<user>[A-Za-z0-9][A-Za-z0-9._-]*)@(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):(?P<path>[^#?]+)")
_TRUE = ("", "1", "true", "yes")
_PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418}


@dataclass(frozen=True, slots=True)
class GitSource:
    """`remote` is what git understands; `ref` "" is the remote's HEAD; `checksum` the commit, or its start."""

    remote: str
    ref: str = ""
    subdir: str = ""
    checksum: str = ""
    keeps_git: bool = False
    submodules: bool = True


@dataclass(frozen=True, slots=True)
class Access:
    """How remotes are reached. `address` answers an address that may be connected to, or raises; None trusts them all
    and runs git with this process' own configuration. `agent` is an SSH agent's socket, `token` goes to the remote."""

    address: Callable[[str, int], Awaitable[object]] | None = None
    agent: Path | None = None
    token: str = field(default="", repr=False)


def parse(text: str) -> GitSource | None:
    """The repository that the text means; None where it is something else. Raises Invalid for an unknown option."""
    remote, _, fragment = text.partition("#")
    remote, _, query = remote.partition("?")
    scheme = remote.partition("://")[0].lower() if "://" in remote else ""
    is_git = scheme in ("git", "ssh") or _SCP.fullmatch(remote) is not None
    is_git = is_git or (scheme in ("http", "https", "file") and remote.endswith(".git"))
    if not is_git:
        return None
    ref, _, subdir = fragment.partition(":")
    options = _options(text, query)
    ref = ref or options.get("ref", "") or options.get("tag", "") or options.get("branch", "")
    return GitSource(
        remote,
        ref,
        (subdir or options.get("subdir", "")).strip("/"),
        options.get("checksum", "") or options.get("commit", ""),
        keeps_git=options.get("keep-git-dir", "0") in _TRUE,
        submodules=options.get("submodules", "1") in _TRUE,
    )


def _options(text: str, query: str) -> dict[str, str]:
    options = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    for name in options:
        if name not in ("ref", "tag", "branch", "subdir", "checksum", "commit", "keep-git-dir", "submodules"):
            raise Invalid(f"{text}: {name!r} is no option of a git URL")
    return options


def host_of(remote: str) -> tuple[str, int]:
    """Host and port that git connects to; "" for a path. Raises Invalid."""
    scp = _SCP.fullmatch(remote)
    if scp is not None and "://" not in remote:
        return scp["host"], 22
    try:
        parts = urlsplit(remote)
        return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise Invalid(f"{remote} is not a git URL: {error}") from error


def commit_in(listed: str, ref: str) -> str:
    """The commit of a ref in what `git ls-remote` printed: a branch, a tag (what it points at), or a whole name."""
    found = {name: commit for commit, tab, name in (line.partition("\t") for line in listed.splitlines()) if tab}
    for name in (f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"{ref}^{{}}", ref):
        if name in found:
            return found[name]
    return ""


async def commit_of(source: GitSource, access: Access) -> str:
    """The commit that the source means now. Raises NotFound, Unavailable, and Invalid where the checksum differs."""
    if _COMMIT.fullmatch(source.ref):
        commit = source.ref
    else:
        wanted = source.ref or "HEAD"
        listed = await _git(access, source.remote, "ls-remote", "--", source.remote, wanted, f"{wanted}^{{}}")
        commit = commit_in(listed, wanted)
        if not _COMMIT.fullmatch(commit):
            raise NotFound(f"{source.remote} has no branch or tag {wanted!r}")
    if source.checksum and not commit.startswith(source.checksum):
        raise Invalid(f"{source.remote}#{source.ref}: it is at commit {commit}, not at {source.checksum}")
    return commit


@dataclass(frozen=True, slots=True)
class Place:
    """A work tree at `root`, of a commit made at `time_ns`."""

    root: Path
    time_ns: int


@contextlib.asynccontextmanager
async def checkout(root: Path, source: GitSource, commit: str, access: Access) -> AsyncIterator[Place]:
    """The commit's files in the new directory `root`, for as long as the block lasts."""
    try:
        yield await cloned(root, source, commit, access)
    finally:
        await asyncio.to_thread(drop_tree, root)


async def cloned(root: Path, source: GitSource, commit: str, access: Access) -> Place:
    """The commit's files in the new directory `root`."""
    root.mkdir(parents=True, mode=0o755)
    await _git(access, "", "init", "-q", str(root))
    inside = ("-C", str(root))
    await _git(access, "", *inside, "remote", "add", "origin", source.remote)
    await _fetch(access, inside, source, commit)
    await _git(access, "", *inside, "checkout", "-q", "--detach", commit)
    if source.submodules:
        await _submodules(access, root, depth=0)
    stamp = await _git(access, "", *inside, "show", "-s", "--format=%ct", commit)
    return Place(root, int(stamp) * 10**9)


async def _fetch(access: Access, inside: tuple[str, ...], source: GitSource, commit: str) -> None:
    """One commit; all branches and tags where the server gives no single ones."""
    try:
        await _git(access, source.remote, *inside, "fetch", "-q", "--depth=1", "--no-tags", "origin", commit)
    except Unavailable:
        refs = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
        await _git(access, source.remote, *inside, "fetch", "-q", "origin", *refs)


async def _submodules(access: Access, root: Path, depth: int) -> None:
    """Submodules one by one, so that git is held to the address of each that was checked.

    The index says where they are, never .gitmodules alone: its paths may lead out of the tree, git's index never does.
    """
    inside = ("-C", str(root))
    links = linked(await _git(access, "", *inside, "ls-files", "-z", "--stage"))
    if not links or not (root / ".gitmodules").is_file():
        return
    if depth >= SUBMODULES_DEPTH_MAX:
        raise Invalid(f"git submodules lie more than {SUBMODULES_DEPTH_MAX} deep")
    await _git(access, "", *inside, "submodule", "init", "-q")
    remotes = values(await _git(access, "", *inside, "config", "-z", "--get-regexp", r"^submodule\..*\.url$"))
    told = ("config", "-z", "-f", ".gitmodules", "--get-regexp", r"^submodule\..*\.path$")
    paths = values(await _git(access, "", *inside, *told))
    # The token is for the outer remote's host, whoever serves the submodule.
    own = dataclasses.replace(access, token="")
    for name, path in paths.items():
        if path in links and name in remotes:
            update = ("--literal-pathspecs", "submodule", "update", "-q", "--depth=1", "--", path)
            await _git(own, remotes[name], *inside, *update)
            await _submodules(own, root / path, depth + 1)


def linked(staged: str) -> set[str]:
    """The paths of submodules in what `git ls-files -z --stage` printed."""
    entries = (entry.partition("\t") for entry in staged.split("\0"))
    return {path for head, _, path in entries if head.startswith("160000 ")}


def values(listed: str) -> dict[str, str]:
    """Values by the submodule's name in what `git config -z --get-regexp` printed."""
    pairs = (entry.partition("\n") for entry in listed.split("\0") if entry)
    return {key.partition(".")[2].rpartition(".")[0]: value for key, _, value in pairs}


async def _address(access: Access, remote: str) -> str:
    """The address to connect to, "" for any. Raises Forbidden where none may be reached."""
    host, port = host_of(remote)
    return str(await access.address(host, port)) if access.address is not None and host else ""


def _pins(remote: str, address: str) -> list[str]:
    """Options that hold git to the address that was checked; a redirect could lead elsewhere."""
    host, port = host_of(remote)
    text = f"[{address}]" if ":" in address else address
    pin = ["-c", f"http.curloptResolve={host}:{port}:{text}"] if address else []
    return ["-c", "http.followRedirects=false", *pin]


def _ssh(remote: str, address: str) -> str:
    """ssh without root's own keys and configuration, held to the address; the host's key must be known here."""
    words = ["ssh", "-F", "/dev/null", "-oBatchMode=yes", "-oConnectTimeout=30", "-oIdentityFile=none"]
    if address:
        words += [f"-oHostName={address}", f"-oHostKeyAlias={host_of(remote)[0]}"]
    return " ".join(words)


async def _git(access: Access, remote: str, *arguments: str) -> str:
    """The output of one git command; `remote` is what it connects to, "" nothing. Raises Unavailable."""
    address = await _address(access, remote) if remote else ""
    options = _pins(remote, address) if remote and access.address is not None else []
    environment = _environment(access, remote, address)
    try:
        program = await asyncio.create_subprocess_exec(
            "git",
            *options,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,
            umask=0o022,
            limit=_OUTPUT_MAX,
        )
    except FileNotFoundError as error:
        raise Unavailable("git is not installed, and a source is a git repository") from error
    try:
        output, errors = await tasks.deadline(program.communicate(), SECONDS_MAX, f"git {arguments[0]}")
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        await program.wait()
        raise
    if program.returncode != 0:
        said = errors.decode("utf-8", "replace").strip().splitlines()[-4:]
        raise Unavailable(f"git {' '.join(_told(arguments))}: {'; '.join(said) or program.returncode}")
    return output.decode("utf-8", "replace").strip("\n")


def _told(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The command without the directory that only this machine knows."""
    return arguments[2:] if arguments[0] == "-C" else arguments


def _environment(access: Access, remote: str, address: str) -> Mapping[str, str]:
    """git's environment: no questions, no configuration of root's; a token travels here, never in arguments."""
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "http:https:ssh:git",
        "GIT_SSH_COMMAND": _ssh(remote, address),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "HOME": "/nonexistent",
    }
    if access.address is None:
        batch = "ssh -oBatchMode=yes -oConnectTimeout=30"
        own = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", batch)}
        environment = {**os.environ, **own}
    if access.agent is not None:
        environment["SSH_AUTH_SOCK"] = str(access.agent)
    if access.token and remote.startswith("https://"):
        basic = base64.b64encode(f"x-access-token:{access.token}".encode()).decode()
        host, port = host_of(remote)
        key = (
            f"http.https://{host}:{port}/.extraHeader"
            if port != _PORTS["https"]
            else f"http.https://{host}/.extraHeader"
        )
        environment |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": key}
        environment["GIT_CONFIG_VALUE_0"] = f"Authorization: Basic {basic}"
    return environment


class Checkout(Rootfs):
    """A work tree to copy from: every file has the commit's time and root as owner."""

    def __init__(self, root: Path, time_ns: int, *, keeps_git: bool) -> None:
        super().__init__(root)
        self._time_ns = time_ns
        self._keeps_git = keeps_git

    def entry(self, path: str) -> Entry | None:
        found = super().entry(path)
        if found is None:
            return None
        return Entry(found.kind, found.mode, found.size, self._time_ns, link=found.link)

    def names(self, path: str) -> list[str]:
        found = super().names(path)
        return found if self._keeps_git else [name for name in found if name != ".git"]
