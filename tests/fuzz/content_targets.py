"""Targets of builder, images and registry: Dockerfiles, manifests, layers, archives, names, credentials."""
# ruff: noqa: E501  # a target is a row

import asyncio
import gzip
import io
import json
import tarfile
import tempfile
from pathlib import Path

from knarr.builder import git, modes, users
from knarr.builder.dockerfile import expand, ignore, parser
from knarr.images import archives, credentials
from knarr.images.image_store import ImageStore
from knarr.images.local_content import LocalContent
from knarr.images.memory_snapshots import MemorySnapshots
from knarr.images.names import Names
from knarr.images.tar_reader import TarReader
from knarr.oci import digest, image_config, manifest, platform, reference
from knarr.registry import blobs, errors, grants
from knarr.registry.service import Registry
from knarr.wire.http import Request
from tests.fuzz.target import Target, field, text

DOCKERFILE = b"""# syntax=docker/dockerfile:1
# escape=`
ARG V=1
FROM --platform=$BUILDPLATFORM busybox:${V:-2} AS base
ENV A=b "C=d e" F=$A
RUN --mount=type=cache,target=/c,id=x <<EOF sh
echo "$A" \\
EOF
COPY --from=base --chown=1:2 --chmod=0644 ["a b", "c/"]
HEALTHCHECK --interval=5s CMD ["x"]
LABEL a.b="c" `
  d=e
ONBUILD EXPOSE 80/tcp
"""
MANIFEST = json.dumps({
    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "sha256:" + "a" * 64, "size": 2},
    "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:" + "b" * 64, "size": 3}],
}).encode()  # fmt: skip
INDEX = json.dumps({
    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + "a" * 64, "size": 2,
         "platform": {"os": "linux", "architecture": "amd64", "variant": "v8"}, "annotations": {"a": "b"}}],
}).encode()  # fmt: skip
CONFIG = json.dumps({
    "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z",
    "config": {"Env": ["A=b"], "Cmd": ["x"], "ExposedPorts": {"80/tcp": {}}, "Labels": {"a": "b"}, "User": "1:2"},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "a" * 64]}, "history": [{"created_by": "x", "empty_layer": True}],
}).encode()  # fmt: skip
PASSWD, GROUP = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:\n", "root:x:0:\ndevs:x:1000:ann,bob\n"


def tar(*, form: int = tarfile.PAX_FORMAT, **files: bytes) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=form) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name.replace("__", "/"))
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("é" * 40)
        link.type, link.linkname = tarfile.SYMTYPE, "a" * (120 if form != tarfile.USTAR_FORMAT else 20)
        archive.addfile(link)
    return written.getvalue()


def read_layer(content: bytes) -> None:
    reader = TarReader(io.BytesIO(content).read)
    for _ in reader:
        while reader.content(1 << 16):
            pass


def loaded(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        kept = LocalContent(Path(directory))
        archives.load_file(ImageStore(kept, Names(), MemorySnapshots(Path(directory))), io.BytesIO(content))


class AnsweredByAFault(Exception):
    """The registry answered 5xx."""


def asked(content: bytes) -> None:
    """First line: method and target; then header fields, an empty line, the body."""
    head, _, body = content.partition(b"\n\n")
    first, *fields = head.decode("latin-1").split("\n")
    method, _, target = first.partition(" ")
    path, _, query = target.partition("?")
    headers = tuple(
        (name.strip().lower(), value.strip()) for name, _, value in (each.partition(":") for each in fields)
    )
    status = asyncio.run(_answered(Request(method, path, query, headers, body)))
    if status >= 500:
        raise AnsweredByAFault(status)


async def _answered(request: Request) -> int:
    with tempfile.TemporaryDirectory() as directory:
        registry = Registry(LocalContent(Path(directory)), Names(), "localhost:5000")
        response = await registry.handler(request)
        registry.close()
        return response.status


def docker_config(content: bytes) -> object:
    found = json.loads(content)
    return credentials.from_docker_config(found if isinstance(found, dict) else {}, "localhost:5000")


LAYER = tar(a=b"x" * 600, b__c=b"")
IMAGE = tar(
    **{
        "manifest.json": b'[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l.tar"]}]',
        "c.json": CONFIG,
        "l.tar": LAYER,
    }
)
LAYOUT = tar(**{"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": INDEX})
WORDS = (
    b"FROM ",
    b"RUN ",
    b"COPY --from=",
    b"<<EOF\n",
    b"EOF\n",
    b"\\\n",
    b"`\n",
    b"${",
    b"}",
    b'["',
    b"ONBUILD ",
    b"# escape=\\\n",
    b"--mount=",
)

TARGETS = (
    Target("Dockerfile", text(parser.parse), (DOCKERFILE,), WORDS),
    Target("words of a Dockerfile", text(lambda found: expand.words(found, {"A": "b c"})),
           (b"a${A:-x}\"$A\" '$A' ${A%b*} ${A#*/} ${A/b/c}", b"$A\\ b"), (b"${", b"}", b":+", b"##", b"%%", b"//", b"\\", b"$"), refuses=(ValueError,)),
    Target(".dockerignore", text(lambda found: ignore.read(found)), (b"*\n!a/**/b?[c-d]\n# x\n/e/\n",),
           (b"**", b"!", b"[", b"]", b"[^", b"\\", b"-")),
    Target("image manifest", manifest.parse, (MANIFEST, INDEX), (b"null", b"{}", b"[]", b'"sha256:"', b"-1", b"1.5")),
    Target("image config", image_config.parse, (CONFIG,), (b"null", b"{}", b"[]", b'""', b"-1")),
    Target("image reference", text(reference.parse), (b"localhost:5000/a/b_c:v1@sha256:" + b"a" * 64, b"a", b"[::1]:5000/a"),
           (b":", b"@", b"/", b"//", b"sha256:", b"A", b"__")),
    Target("digest", text(digest.parse), (b"sha256:" + b"a" * 64, b"sha512:" + b"b" * 128), (b":", b"+", b"A")),
    Target("platform", text(platform.parse), (b"linux/arm64/v8", b"amd64"), (b"/", b"\\")),
    Target("layer", read_layer, (LAYER, tar(form=tarfile.GNU_FORMAT, a=b"y"), tar(form=tarfile.USTAR_FORMAT, a=b"z")),
           (b"99 path=a\n", b"20 size=-1\n", b"ustar\0", b"\x80\0\0\0", b"L", b"x", b"S", b"GNU.sparse.map=1,2")),
    Target("image archive", loaded, (IMAGE, LAYOUT, gzip.compress(IMAGE, mtime=0)), (b"../", b"\0", b"{}", b"null")),
    Target("request to the registry", asked, (
        b"GET /v2/a/b/manifests/v1\naccept: application/vnd.oci.image.manifest.v1+json\n\n",
        b"GET /v2/a/blobs/sha256:" + b"a" * 64 + b"\nrange: bytes=0-5\n\n", b"POST /v2/a/blobs/uploads/?mount=sha256:a&from=b\n\n",
        b"PUT /v2/a/manifests/v1\ncontent-type: application/vnd.oci.image.manifest.v1+json\n\n" + MANIFEST,
        b"PATCH /v2/a/blobs/uploads/x\ncontent-range: 0-4\n\nhello", b"GET /v2/_catalog?n=1&last=a\n\n"),
           (b"/v2/", b"..", b"%2e", b"bytes=", b"-", b",", b"?n=", b"sha256:", b"/tags/list", b"/referrers/")),
    Target("range of a blob", field(lambda found: blobs._range(found, 10)), (b"bytes=0-5", b"bytes=-3", b"bytes=2-"),
           (b"bytes=", b"-", b",", b" "), refuses=(errors.Failure,)),
    Target("scopes of a token", field(lambda found: grants.scopes([found])), (b"repository:a/b:pull,push registry:catalog:*",), (b":", b",", b" ")),
    Target("challenge of a registry", field(credentials.challenges),
           (b'Bearer realm="https://a/b",service="c",scope="d:e:pull", Basic realm=x',), (b'"', b"=", b",", b"Bearer ", b"\\")),
    Target("credentials of a registry", docker_config,
           (b'{"auths":{"localhost:5000":{"auth":"YTpi"},"https://a/v1/":{"username":"a","password":"b","identitytoken":"c"}}}',),
           (b"null", b"{}", b"[]", b'""', b"1"), refuses=(*Target.refuses, ValueError)),
    Target("git address", text(git.parse), (b"https://github.com/a/b.git#main:sub", b"git@host:a/b.git?ref=x&subdir=y", b"ssh://u@[::1]:22/a.git"),
           (b"#", b":", b"?", b"@", b"//", b"[", b"]", b"--upload-pack=x", b"..")),
    Target("user of an image", text(lambda found: users.identity(found, PASSWD, GROUP)), (b"ann:devs", b"1000:1000", b"0"), (b":", b"-1", b"+1")),
    Target("/etc/passwd", text(lambda found: users.identity("ann:devs", found, found)), (PASSWD.encode(), GROUP.encode()), (b":", b"::", b"\n", b"-1")),
    Target("mode", text(lambda found: modes.changed(0o644, found, is_directory=False)), (b"u+rwX,go-s", b"0755", b"a=t"), (b"+", b"-", b"=", b",", b"8")),
)  # fmt: skip
