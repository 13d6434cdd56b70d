"""The build cache: results of steps by key, durable in one append-only file.

A record says which layer a step made; that the layer's blob and file system are still there is asked when it is used,
so losing any of it costs only time. One process owns the file; a torn last line is ignored.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from knarr.oci.digest import Digest
from knarr.oci.manifest import Descriptor

RECORDS_MAX = 50_000
"""Above it the half that was not used for longest goes."""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`layer` None is a step that added nothing. `created` is RFC 3339; `used` in seconds of the wall clock.

    `chain` names the file system after the step. `content` is set instead in records of selections: the content key
    that a path in a file system has.
    """

    key: str
    created: str = ""
    diff_id: Digest = Digest("")
    layer: Descriptor | None = None
    chain: str = ""
    content: str = ""
    used: float = 0.0


class Cache:
    """`path` None keeps the records in memory only."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._records: dict[str, Record] = {}
        self._used: dict[str, float] = {}
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._records = {record.key: record for record in _read(path)}
            if len(self._records) > RECORDS_MAX:
                self._halve()

    def find(self, key: str) -> Record | None:
        record = self._records.get(key)
        if record is not None:
            self._used[key] = time.time()
        return record

    def put(self, record: Record) -> None:
        record = msgspec.structs.replace(record, used=time.time())
        self._records[record.key] = record
        if len(self._records) > RECORDS_MAX:
            self._halve()
            return
        if self._path is not None:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with open(descriptor, "ab") as file:
                file.write(msgspec.json.encode(record) + b"\n")

    def keep(self, keys: list[str]) -> None:
        """Forget every other record."""
        kept = {key: msgspec.structs.replace(self._records[key], used=self.used(self._records[key])) for key in keys}
        self._records = kept
        if self._path is not None:
            draft = self._path.with_suffix(".tmp")
            draft.touch(mode=0o600)
            draft.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in kept.values()))
            draft.rename(self._path)

    def _halve(self) -> None:
        self.keep(sorted(self._records, key=lambda key: self.used(self._records[key]))[-(RECORDS_MAX // 2) :])

    @property
    def layer_bytes(self) -> int:
        """At least the size of all layers; one that several records share may count several times."""
        return sum(record.layer.size for record in self._records.values() if record.layer is not None)

    def used(self, record: Record) -> float:
        """When the record was last of use, in seconds of the wall clock."""
        return self._used.get(record.key, record.used)

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._records.values()))

    def __len__(self) -> int:
        return len(self._records)


def _read(path: Path) -> Iterator[Record]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=Record)
        except msgspec.DecodeError:
            continue
