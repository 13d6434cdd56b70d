"""Whatever is asked, the registry answers below 500 and keeps its store as it is."""

# ruff: noqa: E501  # one list of hostile words is one line
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from knarr.images.local_content import LocalContent
from knarr.images.names import Names
from knarr.registry.service import Registry
from knarr.wire.http import Request

words = st.sampled_from(
    ["v2", "web", "blobs", "uploads", "manifests", "tags", "list", "_catalog", "referrers", "..", "", "%2e%2e", "%00", "A", "sha256:" + "a" * 64]
) | st.text(max_size=8)  # fmt: skip
paths = st.lists(words, max_size=7).map(lambda parts: "/" + "/".join(parts))
deep = st.lists(words, max_size=4).map(lambda parts: "/v2/web/" + "/".join(parts))
queries = st.sampled_from(
    ["", "n=1", "n=x", "digest=x", "mount=y&from=z", "last=%ff", "&&&=", "n=" + "9" * 50, "digest=sha512:" + "0" * 128]
)
headers = st.dictionaries(
    st.sampled_from(["range", "content-range", "content-length", "content-type", "if-none-match", "origin", "host", "accept"]),
    st.sampled_from(["", "bytes=0-", "bytes=--1", "0-5", "5-0", "-1", "localhost", "\x00", "application/vnd.oci.image.manifest.v1+json", "٣-٤"]),
    max_size=3,
)  # fmt: skip


@settings(max_examples=400)
@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"]),
    path=paths | deep,
    query=queries,
    fields=headers,
    body=st.sampled_from([b"", b"x", b"{}", b"[]", b'{"schemaVersion":2}', b"\xff"]) | st.binary(max_size=30),
)
async def test_any_request_is_answered_below_500(
    method: str, path: str, query: str, fields: dict[str, str], body: bytes
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        content, names = LocalContent(Path(directory)), Names()
        registry = Registry(content, names, "localhost:5000")
        response = await registry.handler(Request(method, path, query, tuple(fields.items()), body))
        assert response.status < 500
        assert len(names) == 0
        assert "".join(value for _, value in response.headers).isprintable()
        registry.close()
