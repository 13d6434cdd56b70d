"""Places that a registry sends its clients to: which are itself, and which are none."""

import pytest

from knarr.base.errors import Forbidden
from knarr.images.remote import origin


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("http://registry.lan/v2/", "http://registry.lan:80/v2/x", True),
        ("https://registry.lan/v2/", "https://Registry.LAN:443/", True),
        ("https://registry.lan:443/", "http://registry.lan:80/", False),
        ("http://registry.lan/", "http://registry.lan:443/", False),
        ("http://registry.lan/", "http://registry.lan:5000/", False),
        ("http://registry.lan/", "http://registry.lan@evil.lan/", False),
    ],
)
def test_a_port_that_is_not_written_is_the_schemes_own(one: str, other: str, is_same: bool) -> None:
    assert (origin(one) == origin(other)) is is_same


@pytest.mark.parametrize("url", ["http://registry.lan:port/", "http://registry.lan:99999/", "http://[::1/"])
def test_a_place_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Forbidden, match="no place to go to"):
        origin(url)
