"""Names and places follow from the cluster's name, and what was kept comes back."""

from pathlib import Path

import pytest

from knarr.assembly import settings
from knarr.base.errors import Invalid


def test_the_default_cluster_has_the_decided_names() -> None:
    knarr = settings.default(is_root=True)
    assert (knarr.data_dir, knarr.run_dir) == (Path("/var/lib/knarr/knarr"), Path("/run/knarr/knarr"))
    assert (knarr.context, knarr.bridge, knarr.nft_table) == ("knarr", "knarr0", "knarr-knarr")


def test_another_cluster_shares_no_name_with_the_default_one() -> None:
    knarr, other = settings.default(is_root=True), settings.default("other", is_root=True)
    for attribute in ("data_dir", "run_dir", "context", "bridge", "nft_table", "cgroup", "secrets_dir"):
        assert getattr(knarr, attribute) != getattr(other, attribute)
    assert len(other.bridge) <= 15


def test_kept_settings_come_back(tmp_path: Path) -> None:
    kept = settings.changed(settings.default("x", is_root=False, data_dir=tmp_path), port=7443, registry_port=None)
    settings.save(kept)
    assert settings.load(tmp_path) == kept
    assert kept.port == 7443


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / settings.FILE_NAME).write_text('{"name": "x"}')
    with pytest.raises(Invalid):
        settings.load(tmp_path)
