"""Prepare what `RUN --mount` shows: bind, cache, tmpfs and secret, each a directory or file to mount.

Secrets lie on the tmpfs of run_dir for as long as the command runs. Cache directories are kept between builds, by id;
`sharing=locked` lets one command in at a time.
"""

import asyncio
import contextlib
import hashlib
import os
import secrets as random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from knarr.base.errors import Invalid, Unimplemented
from knarr.builder.dockerfile.instructions import RunMount
from knarr.builder.operations import Run
from knarr.runtime.spec import VolumeMount

SHARINGS = ("shared", "private", "locked")
Bind = Callable[[RunMount, Path], Awaitable[Path]]
"""Makes the source of a bind mount visible below the given directory; the path to mount."""


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
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @contextlib.asynccontextmanager
    async def use(self, options: Mapping[str, str]) -> AsyncIterator[Path]:
        """The directory of that id, for one command."""
        identifier = options.get("id") or options["target"]
        sharing = options.get("sharing", "shared")
        if sharing not in SHARINGS:
            raise Invalid(f"--mount=type=cache: sharing is shared, private or locked, not {sharing!r}")
        if options.get("from"):
            raise Unimplemented("--mount=type=cache,from=…: a cache cannot begin with an image's files yet")
        async with contextlib.AsyncExitStack() as stack:
            key = hashlib.sha256(identifier.encode()).hexdigest()[:32]
            lock = self._locks[key]
            if sharing == "private" and lock.locked():
                # Somebody has it: this command gets one of its own, and leaves it behind for later.
                key += random.token_hex(4)
            elif sharing != "shared":
                await stack.enter_async_context(lock)
            yield self._directory(key, options)

    def _directory(self, key: str, options: Mapping[str, str]) -> Path:
        path = self._root / key
        if not path.exists():
            path.mkdir(parents=True)
            os.chown(path, _number(options, "uid"), _number(options, "gid"))
            path.chmod(_number(options, "mode", "0755", base=8))
        return path


@contextlib.asynccontextmanager
async def prepared(
    run: Run, work: Path, caches: CacheMounts, secrets: Mapping[str, bytes], bind: Bind
) -> AsyncIterator[Mounted]:
    """Everything that the command's mounts show, for as long as it runs."""
    mounted = Mounted()
    async with contextlib.AsyncExitStack() as stack:
        for number, mount in enumerate(run.mounts):
            options = mount.options
            if mount.type == "bind":
                source = await bind(mount, work / f"bind{number}")
                mounted.mounts.append(VolumeMount(_target(options), str(source), _flags(options, is_readonly=True)))
            elif mount.type == "cache":
                source = await stack.enter_async_context(caches.use(options))
                mounted.mounts.append(VolumeMount(_target(options), str(source), _flags(options, is_readonly=False)))
            elif mount.type == "tmpfs":
                mounted.mounts.append(_tmpfs(options))
            elif mount.type == "secret":
                _secret(mounted, work / f"secret{number}", options, secrets)
            else:
                raise Unimplemented("--mount=type=ssh: forwarding an SSH agent is not there yet")
        yield mounted


def _target(options: Mapping[str, str]) -> str:
    target = options["target"]
    return target if target.startswith("/") else f"/{target}"


def _flags(options: Mapping[str, str], *, is_readonly: bool) -> tuple[str, ...]:
    if options.get("readonly", "") == "true" or options.get("readwrite", "") == "false":
        is_readonly = True
    elif options.get("readwrite", "") == "true" or options.get("readonly", "") == "false":
        is_readonly = False
    return ("rbind", "rprivate", "ro") if is_readonly else ("rbind", "rprivate", "rw")


def _number(options: Mapping[str, str], name: str, default: str = "0", *, base: int = 10) -> int:
    text = options.get(name, default)
    digits = "01234567" if base == 8 else "0123456789"
    if not text or len(text) > 10 or any(character not in digits for character in text):
        raise Invalid(f"--mount: {name}={text!r} is not {'an octal mode' if base == 8 else 'a number'}")
    return int(text, base)


def _tmpfs(options: Mapping[str, str]) -> VolumeMount:
    size = options.get("size", "")
    if size and not (size.isascii() and size.rstrip("kKmMgGbB").isdigit()):
        raise Invalid(f"--mount=type=tmpfs: size={size!r} is not a number of bytes")
    limit = (f"size={size.rstrip('bB')}",) if size else ()
    return VolumeMount(_target(options), "tmpfs", ("nosuid", "nodev", "noexec", *limit), type="tmpfs")


def _secret(mounted: Mounted, path: Path, options: Mapping[str, str], secrets: Mapping[str, bytes]) -> None:
    name = options.get("id") or options.get("target", "").rpartition("/")[2]
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
    target = options.get("target") or f"/run/secrets/{name}"
    target = target if target.startswith("/") else f"/run/secrets/{target}"
    mounted.mounts.append(VolumeMount(target, str(path), ("rbind", "rprivate", "ro", "nosuid", "nodev", "noexec")))
