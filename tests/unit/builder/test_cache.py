"""The build cache and the context store on disk."""

import io
import os
from pathlib import Path

import pytest

from knarr.base.errors import Invalid, NotFound
from knarr.builder.cache import RECORDS_MAX, Cache, Record
from knarr.builder.context_store import ContextStore
from knarr.oci import digest


def test_records_survive_a_restart_and_a_torn_last_line(tmp_path: Path) -> None:
    path = tmp_path / "cache.jsonl"
    cache = Cache(path)
    cache.put(Record(key="a", created="2026-01-01T00:00:00Z"))
    cache.put(Record(key="b", content="x"))
    with path.open("ab") as file:
        file.write(b'{"key":"c","crea')
    again = Cache(path)
    assert sorted(record.key for record in again) == ["a", "b"]


def test_keeping_some_forgets_the_rest(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache.jsonl")
    for key in "abc":
        cache.put(Record(key=key))
    cache.keep(["b"])
    assert [record.key for record in Cache(tmp_path / "cache.jsonl")] == ["b"]


def test_a_cache_that_has_grown_too_large_forgets_what_was_not_used_for_longest(tmp_path: Path) -> None:
    cache = Cache()
    for number in range(RECORDS_MAX):
        cache.put(Record(key=f"{number}"))
    assert cache.find("0") is not None
    cache.put(Record(key="one more"))
    assert len(cache) == RECORDS_MAX // 2
    assert {"0", "one more"} <= {record.key for record in cache}


def test_content_is_found_by_its_digest(tmp_path: Path) -> None:
    store = ContextStore(tmp_path)
    name = store.add(io.BytesIO(b"hello"), 5)
    assert name == digest.of(b"hello")
    with open(store.open(name), "rb") as file:
        assert file.read() == b"hello"
    assert store.missing([name, digest.of(b"other")]) == [digest.of(b"other")]


def test_content_that_is_not_what_was_said_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    store = ContextStore(tmp_path)
    writer = store.writer()
    writer.write(b"changed")
    with pytest.raises(Invalid, match="changed while it was sent"):
        writer.commit(digest.of(b"other"))
    writer.abort()
    with pytest.raises(Invalid, match="bytes of a file are missing"):
        store.add(io.BytesIO(b"short"), 9)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["sha256:../../etc/passwd", "md5:00", "", "sha256:" + "A" * 64])
def test_only_digests_name_content(tmp_path: Path, name: str) -> None:
    with pytest.raises((Invalid, NotFound)):
        ContextStore(tmp_path).open(name)


def test_pruning_takes_what_was_not_used_for_longest(tmp_path: Path) -> None:
    store = ContextStore(tmp_path)
    names = [store.add(io.BytesIO(text * 10), 10) for text in (b"a", b"b", b"c")]
    for age, name in enumerate(names):
        os.utime(tmp_path / name.partition(":")[2], (1000 + age, 1000 + age))
    assert store.prune(10) == 20
    assert store.missing(names) == names[:2]
