"""Lists of an exported cache: what comes back as it went, and what somebody else made up is left out."""

import msgspec
import pytest

from knarr.builder import cache_exchange
from knarr.builder.cache import Record
from knarr.oci import digest
from knarr.oci.digest import Digest
from knarr.oci.manifest import OCI_LAYER_GZIP, Descriptor

KEY = "1" * 64
LAYER = Descriptor(media_type=OCI_LAYER_GZIP, digest=digest.of(b"layer"), size=5)
STEP = Record(key=KEY, created="2026-01-02T03:04:05Z", diff_id=digest.of(b"tar"), layer=LAYER, chain="sha256:c")


def test_records_come_back_as_they_went_without_what_one_machine_knows() -> None:
    empty = Record(key="2" * 64, created="2026-01-02T03:04:05.5Z", used=7.0)
    selection = Record(key="3" * 64, content="4" * 64)
    found = cache_exchange.decode(cache_exchange.encode([STEP, empty, selection]))
    assert found == [STEP, msgspec.structs.replace(empty, used=0.0), selection]
    assert cache_exchange.decode(cache_exchange.of_annotation(cache_exchange.annotation([STEP]))) == [STEP]


@pytest.mark.parametrize(
    "odd",
    [
        {"key": "../../etc"},
        {"created": "yesterday"},
        {"diff_id": Digest("")},
        {"diff_id": Digest("sha256:short")},
        {"layer": Descriptor(media_type=OCI_LAYER_GZIP, digest=Digest("sha256:../../../etc/shadow"), size=5)},
        {"layer": Descriptor(media_type=OCI_LAYER_GZIP, digest=LAYER.digest, size=-1)},
        {"layer": Descriptor(media_type="text/html", digest=LAYER.digest, size=5)},
        {"layer": None, "content": "x"},
    ],
)
def test_an_odd_record_is_left_out_and_the_others_stay(odd: dict[str, object]) -> None:
    other = msgspec.structs.replace(STEP, key="5" * 64)
    listed = cache_exchange.encode([msgspec.structs.replace(STEP, **odd), other])
    assert cache_exchange.decode(listed) == [other]


@pytest.mark.parametrize("listed", [b"", b"{}", b"[1]", b"\xff", b'[{"key": 1}]'])
def test_what_is_no_list_holds_nothing(listed: bytes) -> None:
    assert cache_exchange.decode(listed) == []
    assert cache_exchange.of_annotation("no base64!") == b""
