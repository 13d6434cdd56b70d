"""Values of `knarr build`'s flags: what is read, and what is refused in whose words."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from knarr.base.errors import Invalid, Unimplemented
from knarr.cli import build_flags, build_values


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    build_flags.configure(parser)
    return parser.parse_args([*words, "."])


@pytest.fixture
def environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize(
    ("words", "member", "expected"),
    [
        (("--platform", "linux/amd64,linux/arm64", "--platform", "linux/s390x"), "platforms",
         ["linux/amd64", "linux/arm64", "linux/s390x"]),
        (("--no-cache-filter", "a,b"), "uncached", ["a", "b"]),
        (("--add-host", "a:1.2.3.4", "--add-host", "b=[::1]"), "hosts", [("a", "1.2.3.4"), ("b", "::1")]),
        (("--add-host", "a:host-gateway", "--network", "host"), "hosts", [("a", "127.0.0.1")]),
        (("--ulimit", "nofile=1:2", "--ulimit", "core=0"), "ulimits", {"nofile": (1, 2), "core": (0, 0)}),
        (("--shm-size", "64m"), "shm_bytes", 64 << 20),
        (("--shm-size", "1gb"), "shm_bytes", 1 << 30),
        (("--annotation", "a=b", "--annotation", "index:c=d"), "index_annotations", {"c": "d"}),
        (("--annotation", "manifest,index:a=b"), "annotations", {"a": "b"}),
        (("--provenance", "true"), "provenance", "min"),
        (("--provenance", "mode=max"), "provenance", "max"),
        (("--provenance", "false"), "provenance", ""),
        (("--attest", "type=provenance,mode=max"), "provenance", "max"),
        (("--attest", "type=provenance,disabled=true"), "provenance", ""),
        (("--timestamp", "7"), "epoch", 7),
        (("--timestamp", "7"), "sets_times", True),
        (("--cache-from", "r/x", "--cache-from", "type=registry,ref=r/y"), "cache_from", ["r/x", "r/y"]),
        (("--cache-to", "type=registry,ref=r/x,mode=max", "--cache-to", "r/y"), "cache_to",
         [["r/x", True], ["r/y", False]]),
        (("--cache-to", "type=inline"), "has_inline_cache", True),
        (("--build-arg", "BUILDKIT_INLINE_CACHE=1", "--label", "x=y"), "has_inline_cache", True),
        (("-o", "type=image,oci-mediatypes=false"), "is_docker", True),
        (("-o", "type=cacheonly"), "names", []),
    ],
)  # fmt: skip
def test_flags_become_members_of_the_request(words: tuple[str, ...], member: str, expected: object) -> None:
    assert build_values.body(parsed(*words))[member] == expected


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (("--add-host", "a"), Invalid, "is not NAME:ADDRESS"),
        (("--add-host", "a:b c"), Invalid, "is not NAME:ADDRESS"),
        (("--add-host", "a:host-gateway"), Unimplemented, "except with --network host"),
        (("--ulimit", "nofile=2:1"), Invalid, "is not NAME=SOFT"),
        (("--ulimit", "files=2"), Invalid, "NAME one of as, core"),
        (("--shm-size", "big"), Invalid, "is not a size such as 64m"),
        (("--annotation", "layer:a=b"), Invalid, "neither manifest nor index"),
        (("--annotation", "a"), Invalid, "is not KEY=VALUE"),
        (("--provenance", "all"), Invalid, "mode=min or mode=max"),
        (("--attest", "type=what"), Invalid, "provenance or sbom"),
        (("--sbom", "true"), Unimplemented, "does not scan packages"),
        (("--cache-to", "type=s3,bucket=b"), Unimplemented, "caches in registries"),
        (("--cache-from", "type=registry"), Invalid, "needs ref=REF"),
        (("--cache-from", "type=local,dest=x"), Invalid, "needs src=DIRECTORY"),
        (("--cache-to", "type=local"), Invalid, "needs dest=DIRECTORY"),
        (("-o", "type=zip,dest=x"), Invalid, "type is one of local, tar"),
        (("-o", "type=oci,compression=zstd"), Unimplemented, "knows no compression=zstd"),
        (("--timestamp", "now"), Invalid, "is not a number of seconds"),
        (("--secret", "src=/nowhere/x"), Invalid, "No such file"),
        (("--secret", "id"), Invalid, "is not key=value"),
    ],
)
def test_what_is_wrong_is_said(words: tuple[str, ...], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        build_values.body(parsed(*words))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("out", {"type": "local", "dest": "out"}),
        ("-", {"type": "tar", "dest": "-"}),
        ("type=oci,dest=x.tar", {"type": "oci", "dest": "x.tar"}),
        ("type=docker", {"type": "docker", "dest": "-"}),
        ('type=image,"name=a,b",push=true', {"type": "image", "name": "a,b", "push": "true"}),
    ],
)
def test_outputs(given: str, expected: dict[str, str]) -> None:
    assert build_values.outputs([given]) == [expected]


def test_secrets_come_from_files_and_variables(tmp_path: Path, environment: None) -> None:
    (tmp_path / "tok").write_text("hush")
    os.environ["TOKEN"] = "psst"
    given = [f"id=a,src={tmp_path}/tok", "id=b,env=TOKEN", "id=TOKEN", f"type=file,src={tmp_path}/tok"]
    found = [build_values.secret(text) for text in given]
    assert found == [("a", "aHVzaA=="), ("b", "cHNzdA=="), ("TOKEN", "cHNzdA=="), ("tok", "aHVzaA==")]


@pytest.mark.parametrize("text", ["253402300800", "-1", "1.5", "99999999999999", "\u0661"])
def test_a_time_that_no_date_can_say_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="--timestamp"):
        build_values.body(parsed(f"--timestamp={text}"))
