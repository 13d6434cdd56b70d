"""Secrets lie sealed in the file and are plain in memory."""

from pathlib import Path

import pytest

from knarr.base.errors import Invalid
from knarr.store.sealing import Sealer, load_key
from knarr.store.sqlite import SqliteStore

CANARY = b'{"data":{"password":"CANARY-1234567890"}}'


def found(folder: Path) -> bool:
    return any(b"CANARY" in path.read_bytes() for path in folder.iterdir())


async def test_a_secret_is_nowhere_in_the_files_and_read_back_after_reopening(tmp_path: Path) -> None:
    key = load_key(tmp_path / "etc" / "secrets.key")
    assert load_key(tmp_path / "etc" / "secrets.key") == key
    path = tmp_path / "store" / "knarr.db"
    store = SqliteStore(path, sealer=Sealer(key))
    await store.write("/registry/secrets/default/s", CANARY, expect=None)
    assert not found(path.parent)
    await store.close()
    assert not found(path.parent)
    store = SqliteStore(path, sealer=Sealer(key))
    entry = store.get("/registry/secrets/default/s")
    assert entry is not None
    assert entry.value == CANARY
    await store.close()


async def test_another_key_is_refused_and_the_store_is_free_again(tmp_path: Path) -> None:
    path = tmp_path / "knarr.db"
    store = SqliteStore(path, sealer=Sealer(b"a" * 32))
    await store.write("/registry/secrets/default/s", CANARY, expect=None)
    await store.close()
    with pytest.raises(Invalid, match="sealed with another key"):
        SqliteStore(path, sealer=Sealer(b"b" * 32))
    await SqliteStore(path, sealer=Sealer(b"a" * 32)).close()


def test_a_row_moved_to_another_name_is_refused() -> None:
    sealer = Sealer(b"a" * 32)
    sealed = sealer.seal("/registry/secrets/default/s", CANARY)
    with pytest.raises(Invalid):
        sealer.open("/registry/secrets/default/t", sealed)
    assert sealer.seal("/registry/configmaps/default/s", CANARY) == CANARY
