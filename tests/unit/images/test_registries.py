"""The file of mirrors and insecure registries."""

from pathlib import Path

import pytest

from knarr.base.errors import Invalid
from knarr.images import registries
from knarr.images.registries import RemoteSettings


def test_a_missing_file_changes_nothing(tmp_path: Path) -> None:
    settings = registries.read(tmp_path / "registries.json")
    assert settings == RemoteSettings()
    assert settings.places("docker.io") == ("docker.io",)


def test_mirrors_are_asked_before_the_registry(tmp_path: Path) -> None:
    path = tmp_path / "registries.json"
    path.write_text('{"mirrors": {"docker.io": ["a.example", "b:5000"]}, "insecure": ["b:5000"]}')
    settings = registries.read(path)
    assert settings.places("docker.io") == ("a.example", "b:5000", "docker.io")
    assert settings.places("ghcr.io") == ("ghcr.io",)
    assert settings.insecure == {"b:5000"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"mirror": {}}',
        '{"mirrors": []}',
        '{"insecure": ["http://x"]}',
        '{"mirrors": {"docker.io": ["a/b"]}}',
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "registries.json"
    path.write_text(text)
    with pytest.raises(Invalid, match=r"registries\.json"):
        registries.read(path)
