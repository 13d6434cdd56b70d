"""Prepare what `RUN --mount` shows: bind, cache, tmpfs, secret and ssh, each a directory, file or socket to mount.

Secrets lie on the tmpfs of run_dir for as long as the command runs. Cache directories are kept between builds, by id;
`sharing=locked` lets one command in at a time.
"""

import asyncio
import contextlib
import hashlib
import itertools
import os
import secrets as random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from knarr.base import tasks
from knarr.base.errors import Invalid
from knarr.base.removal import drop_tree
from knarr.builder.dockerfile.instructions import RunMount
from knarr.builder.operations import Run
from knarr.builder.steps import ssh
from knarr.runtime.spec import VolumeMount

Bind = Callable[[RunMount, Path], Awaitable[Path]]
"""Makes the source of a bind mount visible below the given directory; the path to mount."""
Seed = Callable[[RunMount, Path], Awaitable[None]]
"""Fills the new directory of a cache mount with what its `from=` names."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the request gives to mounts: secrets and agents' sockets by id, and who makes sources visible.

    `cache_namespace` stands before the ids of caches.
    """

    secrets: Mapping[str, bytes]
    agents: Mapping[str, Path]
    bind: Bind
    seed: Seed
    cache_namespace: str = ""


@dataclass(frozen=True, slots=True)
class Mounted:
    """Mounts, and environment variables from `--mount=type=secret,env=`."""

    mounts: list[VolumeMount] = field(default_factory=list)
    env: list[str] = field(default_factory=list)


class CacheMounts:
    """Directories of `type=cache` below one root, with their locks."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for draft in root.glob(".*"):
            drop_tree(draft)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._used: defaultdict[str, int] = defaultdict(int)

    @contextlib.asynccontextmanager
    async def use(self, mount: RunMount, seed: Seed, namespace: str = "") -> AsyncIterator[Path]:
        """The directory of that id, for one command."""
        options = mount.options
        identifier = options.get("id") or options["target"]
        identifier = f"{namespace}/{identifier}" if namespace else identifier
        sharing = options.get("sharing", "shared")
        async with contextlib.AsyncExitStack() as stack:
            key = hashlib.sha256(identifier.encode()).hexdigest()[:32]
            lock = self._locks[key]
            if sharing == "private":
                # Somebody has the first: the next one that is free, which the commands after this one find too.
                names = (f"{key}-{number}" if number else key for number in itertools.count())
                key = next(name for name in names if not self._locks[name].locked())
                lock = self._locks[key]
            if sharing != "shared":
                await stack.enter_async_context(lock)
            self._used[key] += 1
            try:
                yield await self._directory(key, mount, seed)
            finally:
                self._used[key] -= 1
                if not self._used[key]:
                    del self._used[key]

    async def _directory(self, key: str, mount: RunMount, seed: Seed) -> Path:
        options, path = mount.options, self._root / key
        if path.exists():
            return path
        # Two that share it may come at once: the first that is ready wins.
        draft = self._root / f".{key}.{random.token_hex(4)}"
        draft.mkdir(parents=True)
        try:
            if options.get("from"):
                await seed(mount, draft)
            os.chown(draft, _number(options, "uid"), _number(options, "gid"))
            draft.chmod(_number(options, "mode", "0755", base=8))
            with contextlib.suppress(OSError):
                draft.rename(path)
        finally:
            await asyncio.to_thread(drop_tree, draft)
        return path

    async def prune(self) -> int:
        """Remove every directory that no command uses now; the bytes freed."""
        doomed: list[Path] = []
        for path in list(self._root.iterdir()):
            # A draft is called `.KEY.…`: it belongs to the command that uses the key. `.pruned.…` is another prune's.
            if path.name.removeprefix(".").partition(".")[0] not in {*self._used, "pruned"}:
                # From here on no command that begins finds it half removed.
                with contextlib.suppress(FileNotFoundError):
                    doomed.append(path.rename(self._root / f".pruned.{random.token_hex(8)}"))
        return sum([await tasks.in_thread(_removed, path) for path in doomed])


def _removed(path: Path) -> int:
    size = _bytes_below(path)
    drop_tree(path)
    return size


def _bytes_below(path: Path) -> int:
    size, pending = 0, [str(path)]
    while pending:
        # What lies deeper than a path can say is removed, but not counted.
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    size += entry.stat(follow_symlinks=False).st_size
    return size


@contextlib.asynccontextmanager
async def prepared(run: Run, work: Path, caches: CacheMounts, given: Given) -> AsyncIterator[Mounted]:
    """Everything that the command's mounts show, for as long as it runs."""
    mounted = Mounted()
    async with contextlib.AsyncExitStack() as stack:
        for number, mount in enumerate(run.mounts):
            options = mount.options
            if mount.type == "bind":
                source = await given.bind(mount, work / f"bind{number}")
                mounted.mounts.append(VolumeMount(_target(options), str(source), _flags(options, is_readonly=True)))
            elif mount.type == "cache":
                source = await stack.enter_async_context(caches.use(mount, given.seed, given.cache_namespace))
                mounted.mounts.append(VolumeMount(_target(options), str(source), _flags(options, is_readonly=False)))
            elif mount.type == "tmpfs":
                mounted.mounts.append(_tmpfs(options))
            elif mount.type == "secret":
                _secret(mounted, work / f"secret{number}", options, given.secrets)
            else:
                await _ssh(mounted, work, options, given.agents, stack)
        yield mounted


async def _ssh(
    mounted: Mounted,
    work: Path,
    options: Mapping[str, str],
    agents: Mapping[str, Path],
    stack: contextlib.AsyncExitStack,
) -> None:
    """The agent's socket, and SSH_AUTH_SOCK for the first of them."""
    name = options.get("id") or "default"
    if name not in agents:
        if options.get("required", "false") == "true":
            raise Invalid(f"the SSH agent {name!r} is required: give it with --ssh {name}")
        return
    count = sum(mount.source.startswith(f"{work}/ssh") for mount in mounted.mounts)
    place = work / f"ssh{count}"
    owner = _number(options, "uid"), _number(options, "gid")
    mode = _number(options, "mode", "0600", base=8)
    await stack.enter_async_context(ssh.forwarded(agents[name], place, mode=mode, owner=owner))
    target = options.get("target") or f"/run/buildkit/ssh_agent.{count}"
    mounted.mounts.append(VolumeMount(target, str(place), ("rbind", "rprivate", "nosuid", "nodev", "noexec")))
    if count == 0:
        mounted.env.append(f"SSH_AUTH_SOCK={target}")


def _target(options: Mapping[str, str]) -> str:
    target = options["target"]
    return target if target.startswith("/") else f"/{target}"


def _flags(options: Mapping[str, str], *, is_readonly: bool) -> tuple[str, ...]:
    is_readonly = options.get("readonly", str(is_readonly).lower()) == "true"
    return ("rbind", "rprivate", "ro") if is_readonly else ("rbind", "rprivate", "rw")


def _number(options: Mapping[str, str], name: str, default: str = "0", *, base: int = 10) -> int:
    return int(options.get(name, default), base)


def _tmpfs(options: Mapping[str, str]) -> VolumeMount:
    """Programs in it run: configure scripts compile and start theirs in /tmp."""
    limit = (f"size={options['size']}",) if options.get("size", "0") != "0" else ()
    is_readonly = options.get("readonly") == "true"
    return VolumeMount(
        _target(options), "tmpfs", ("nosuid", "nodev", *limit, *(["ro"] if is_readonly else [])), type="tmpfs"
    )


def _secret(mounted: Mounted, path: Path, options: Mapping[str, str], secrets: Mapping[str, bytes]) -> None:
    name = options.get("id") or options.get("source") or options.get("target", "").rpartition("/")[2]
    if name not in secrets:
        if options.get("required", "false") == "true":
            raise Invalid(f"the secret {name!r} is required: give it with --secret id={name},src=FILE")
        return
    content = secrets[name]
    if options.get("env"):
        mounted.env.append(f"{options['env']}={content.decode('utf-8', 'surrogateescape')}")
        if not options.get("target"):
            return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with open(descriptor, "wb") as file:
        os.fchown(descriptor, _number(options, "uid"), _number(options, "gid"))
        os.fchmod(descriptor, _number(options, "mode", "0400", base=8))
        file.write(content)
    target = options.get("target") or f"/run/secrets/{name.rpartition('/')[2]}"
    target = target if target.startswith("/") else f"/run/secrets/{target}"
    mounted.mounts.append(VolumeMount(target, str(path), ("rbind", "rprivate", "ro", "nosuid", "nodev", "noexec")))
