"""Names: durable, replaced all at once, found by tag and by digest."""

import threading
from pathlib import Path

import pytest

from knarr.base.errors import Invalid
from knarr.images.names import Name, Names, Origin
from knarr.oci import reference as references
from knarr.oci.digest import Digest

A, B = Digest("sha256:" + "a" * 64), Digest("sha256:" + "b" * 64)


def tag(names: Names, text: str, digest: Digest = A, origin: Origin = "built") -> Name:
    return names.tag(references.parse(text), digest, media_type="m", size=1, origin=origin)


def test_names_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    kept = [tag(Names(path), "nginx")]
    kept.append(tag(Names(path), "localhost:5000/web:v1", B, "pushed"))
    assert list(Names(path)) == kept
    assert [file.name for file in tmp_path.iterdir()] == ["names.json"]


def test_a_tag_moves(tmp_path: Path) -> None:
    names = Names()
    tag(names, "nginx")
    tag(names, "docker.io/library/nginx:latest", B)
    assert [(name.reference, name.digest) for name in names] == [("docker.io/library/nginx:latest", B)]


def test_a_digest_is_found_through_a_tag_of_its_repository() -> None:
    names = Names()
    tagged = tag(names, "nginx")
    tag(names, "other", B)
    assert names.find(references.parse(f"nginx@{A}")) == names.find(references.parse(f"nginx:1@{A}")) == tagged
    assert names.find(references.parse(f"nginx@{B}")) is None
    assert names.repository("docker.io/library/nginx") == (tagged,)


def test_untagging_the_unknown_says_so() -> None:
    names = Names()
    tag(names, "nginx")
    assert [names.untag(references.parse("nginx")) for _ in range(2)] == [True, False]
    assert len(names) == 0


def test_only_what_was_pulled_is_asked_for_elsewhere() -> None:
    names = Names()
    origins: tuple[Origin, ...] = ("built", "tagged", "loaded", "pushed", "pulled")
    assert [tag(names, "x", origin=origin).is_own for origin in origins] == [True, True, True, True, False]


def test_a_foreign_file_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    path.write_text("not names")
    with pytest.raises(Invalid, match=r"names\.json"):
        Names(path)
    assert path.read_text() == "not names"


def test_names_given_by_several_threads_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    names = Names(path)

    def some(first: int) -> None:
        for number in range(first, first + 20):
            tag(names, f"image-{number}")

    threads = [threading.Thread(target=some, args=(first,)) for first in range(0, 80, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name.parsed.path for name in Names(path)} == {f"library/image-{number}" for number in range(80)}
    assert list(Names(path)) == list(names)


def test_a_name_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    directory.mkdir()
    names = Names(directory / "names.json")
    kept = tag(names, "nginx")
    directory.rename(tmp_path / "gone")
    with pytest.raises(OSError, match="No such file"):
        tag(names, "other")
    with pytest.raises(OSError, match="No such file"):
        names.untag(references.parse("nginx"))
    assert list(names) == [kept]
