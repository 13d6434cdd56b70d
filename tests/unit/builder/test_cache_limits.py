"""What the build cache keeps, and what garbage collection must leave of it."""

from knarr.builder import cache_limits
from knarr.builder.cache import Cache, Record
from knarr.oci.digest import Digest
from knarr.oci.manifest import OCI_LAYER_GZIP, Descriptor


def record(key: str, size: int, layer: str = "") -> Record:
    digest = Digest(f"sha256:{layer or key}")
    return Record(key=key, layer=Descriptor(media_type=OCI_LAYER_GZIP, digest=digest, size=size), chain=f"chain-{key}")


def test_the_newest_are_kept_up_to_the_size_and_a_layer_counts_once() -> None:
    records = [(record("a", 40), 1.0), (record("b", 40), 3.0), (record("c", 40), 2.0), (record("d", 40, "b"), 0.5)]
    assert cache_limits.kept(records, bytes_max=90) == ["b", "c", "d"]


def test_what_is_older_goes_and_records_without_a_layer_cost_nothing() -> None:
    records = [(Record(key="empty"), 5.0), (record("old", 1), 1.0), (record("new", 1), 5.0)]
    assert cache_limits.kept(records, oldest=2.0) == ["empty", "new"]
    assert cache_limits.kept(records, oldest=2.0, bytes_max=0) == ["empty"]


def test_layers_and_snapshots_of_the_cache_are_roots() -> None:
    cache = Cache()
    for each in (record("a", 1), Record(key="empty")):
        cache.put(each)
    digests, chains = cache_limits.roots(cache)
    assert (list(digests), list(chains)) == (["sha256:a"], ["chain-a"])


def test_enforcing_forgets_records_and_says_how_many() -> None:
    cache = Cache()
    for key in ("a", "b", "c"):
        cache.put(record(key, 10))
    assert cache_limits.enforce(cache, bytes_max=100) == 0
    assert cache_limits.enforce(cache, bytes_max=20) == 1
    assert len(cache) == 2


def test_a_small_disk_gives_the_cache_less() -> None:
    assert cache_limits.allowance(20 << 30) == 2 << 30
    assert cache_limits.allowance(1 << 40) == cache_limits.BYTES_MAX
