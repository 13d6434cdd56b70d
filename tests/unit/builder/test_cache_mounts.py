"""Directories of `--mount=type=cache`: who shares them, and that none is pruned while a command uses it."""

import asyncio
from pathlib import Path

from knarr.builder.dockerfile.instructions import RunMount
from knarr.builder.steps.mounts import CacheMounts


def mount(**options: str) -> RunMount:
    return RunMount("cache", {"target": "/c", **options})


async def _nothing(_mount: RunMount, _place: Path) -> None:
    return


async def test_a_directory_stays_for_the_next_command_and_goes_when_it_is_pruned(tmp_path: Path) -> None:
    caches = CacheMounts(tmp_path / "mounts")
    async with caches.use(mount(), _nothing) as first:
        (first / "f").write_bytes(b"1234")
        assert await caches.prune() == 0
    async with caches.use(mount(id="/c"), _nothing) as second:
        assert (second, (second / "f").read_bytes()) == (first, b"1234")
    assert await caches.prune() == 4
    assert list((tmp_path / "mounts").iterdir()) == []


async def test_two_may_prune_at_once(tmp_path: Path) -> None:
    caches = CacheMounts(tmp_path / "mounts")
    for number in range(3):
        async with caches.use(mount(id=str(number)), _nothing) as directory:
            (directory / "f").write_bytes(b"1234")
    assert await asyncio.gather(caches.prune(), caches.prune()) == [12, 0]
    assert list((tmp_path / "mounts").iterdir()) == []


async def test_namespaces_have_caches_of_their_own(tmp_path: Path) -> None:
    caches = CacheMounts(tmp_path / "mounts")
    async with caches.use(mount(), _nothing) as plain, caches.use(mount(), _nothing, "team") as named:
        assert plain != named


async def test_a_draft_that_is_being_filled_is_not_pruned(tmp_path: Path) -> None:
    caches = CacheMounts(tmp_path / "mounts")

    async def seed(_mount: RunMount, place: Path) -> None:
        (place / "seeded").touch()
        await caches.prune()

    async with caches.use(mount(**{"from": "x"}), seed) as directory:
        assert [path.name for path in directory.iterdir()] == ["seeded"]


async def test_private_gives_each_command_its_own_while_another_has_it(tmp_path: Path) -> None:
    caches = CacheMounts(tmp_path / "mounts")
    private = mount(sharing="private")
    async with caches.use(private, _nothing) as first, caches.use(private, _nothing) as second:
        assert first != second
        assert await caches.prune() == 0
        assert first.is_dir()
        assert second.is_dir()
    async with caches.use(private, _nothing) as third, caches.use(private, _nothing) as fourth:
        assert (third, fourth) == (first, second)


async def test_locked_lets_one_command_in_at_a_time(tmp_path: Path) -> None:
    caches = CacheMounts(tmp_path / "mounts")
    order: list[str] = []
    entered, leave = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with caches.use(mount(sharing="locked"), _nothing):
            entered.set()
            await leave.wait()
            order.append("first")

    async def second() -> None:
        await entered.wait()
        async with caches.use(mount(sharing="locked"), _nothing):
            order.append("second")

    async with asyncio.TaskGroup() as group:
        group.create_task(first())
        group.create_task(second())
        await entered.wait()
        leave.set()
    assert order == ["first", "second"]
