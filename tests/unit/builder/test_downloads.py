"""ADD of URLs: which are none, and addresses that ADD must not reach."""

from pathlib import Path

import pytest

from knarr.base.errors import Forbidden, Invalid
from knarr.builder.context_store import ContextStore
from knarr.builder.downloads import Downloads


@pytest.fixture
def downloads(tmp_path: Path) -> Downloads:
    return Downloads(ContextStore(tmp_path / "context"))


@pytest.mark.parametrize("url", ["http://[::1/f", "http://h:port/f", "https:///f", "ftp://h/f", "http://h:70000/f"])
async def test_what_is_no_url_is_refused(downloads: Downloads, url: str) -> None:
    with pytest.raises(Invalid, match="is not an http or https URL"):
        await downloads.fetch(url, "")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "169.254.169.254", "0.0.0.0", "[fe80::1]", "224.0.0.1", "[::ffff:127.0.0.1]"]
)
async def test_addresses_near_this_machine_are_refused(downloads: Downloads, host: str) -> None:
    with pytest.raises(Forbidden, match="which ADD must not reach"):
        await downloads.fetch(f"http://{host}/latest/meta-data", "")
