"""What the command sends becomes a build request: contexts, settings, publication; what is wrong is refused."""

from pathlib import Path
from typing import Any

import pytest

from knarr.base.errors import BadRequest, Invalid
from knarr.builder.context_store import ContextStore
from knarr.builder.request import BuildRequest, Publication, RunSettings
from knarr.builder.trees import ContextTree
from knarr.nodeapi import builds
from knarr.nodeapi.messages import BuildBody, decode, line


def request(tmp_path: Path, **members: Any) -> BuildRequest:
    body = decode(line(dockerfile="FROM a", context=[], **members), BuildBody)
    return builds._request(body, ContextStore(tmp_path / "context"))


def test_members_find_their_places(tmp_path: Path) -> None:
    made = request(
        tmp_path,
        contexts={"d": [["f", "f", 0o644, 1, 2, "sha256:" + "0" * 64]]},
        images={"i": "busybox"},
        ssh={"default": "/run/agent"},
        hosts=[["a", "1.2.3.4"]],
        ulimits={"nofile": [1, 2]},
        shm_bytes=7,
        network="none",
        allows=["network.host"],
        platforms=["linux/amd64", "linux/arm64"],
        uncached=["one"],
        cache_from=["r.example/c"],
        cache_to=[["r.example/c:1", True]],
        annotations={"a": "b"},
        index_annotations={"c": "d"},
        provenance="max",
        is_docker=True,
        has_inline_cache=True,
    )
    tree = made.contexts["d"]
    assert isinstance(tree, ContextTree)
    assert tree.names("") == ["f"]
    assert made.contexts["i"] == "busybox"
    assert made.ssh == {"default": Path("/run/agent")}
    assert made.run == RunSettings(
        hosts=(("a", "1.2.3.4"),),
        shm_bytes=7,
        ulimits={"nofile": (1, 2)},
        network="none",
        allows=frozenset({"network.host"}),
    )
    assert made.publication == Publication(
        annotations={"a": "b"}, index_annotations={"c": "d"}, is_docker=True, provenance="max", has_inline_cache=True
    )
    assert (made.platforms, made.uncached) == (("linux/amd64", "linux/arm64"), ("one",))
    assert [reference.familiar for reference in made.cache_from] == ["r.example/c:latest"]
    assert [(reference.familiar, is_max) for reference, is_max in made.cache_to] == [("r.example/c:1", True)]


def test_what_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"--allow device: it is none of network\.host, security\.insecure"):
        request(tmp_path, allows=["device"])
    with pytest.raises(BadRequest, match="network"):
        request(tmp_path, network="all")
    with pytest.raises(Invalid, match="is not a path inside it"):
        request(tmp_path, contexts={"d": [["../f", "f", 0o644, 1, 2, ""]]})


def test_predefined_arguments_say_how_to_build(tmp_path: Path) -> None:
    given = {
        "BUILDKIT_SANDBOX_HOSTNAME": "box-1.example",
        "BUILDKIT_CACHE_MOUNT_NS": "team",
        "BUILDKIT_MULTI_PLATFORM": "true",
    }
    made = request(tmp_path, arguments=given)
    assert (made.run.hostname, made.run.cache_namespace, made.publication.is_index) == ("box-1.example", "team", True)
    with pytest.raises(Invalid, match="'a\\\\nb' is not a host name"):
        request(tmp_path, arguments={"BUILDKIT_SANDBOX_HOSTNAME": "a\nb"})


@pytest.mark.parametrize("epoch", [-1, 253402300800, 1 << 70])
def test_a_time_that_no_date_can_say_is_refused(tmp_path: Path, epoch: int) -> None:
    with pytest.raises(BadRequest):
        request(tmp_path, epoch=epoch)
