"""Links in what a proxy passes back: whole, and however the page is cut."""

import gzip
from collections.abc import AsyncIterator

import pytest

from knarr.apiserver.subresources import links
from knarr.apiserver.subresources.links import Page, Way, through
from knarr.base.errors import Unavailable

PREFIX = "/api/v1/namespaces/default/pods/web/proxy"
WAY = Way(PREFIX, "10.244.0.5:80", "localhost:8001")


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("/", f"{PREFIX}/"),
        ("/a/../b/?q=1#top", f"{PREFIX}/b/?q=1#top"),
        (f"{PREFIX}/b", f"{PREFIX}/b"),
        ("style.css", "style.css"),
        ("#top", "#top"),
        ("mailto:a@example.com", "mailto:a@example.com"),
        ("https://example.com/b", "https://example.com/b"),
        ("//example.com/b", "//example.com/b"),
        ("http://10.244.0.5:80/b", f"{PREFIX}/b"),
        ("http://localhost:8001/b", f"http://localhost:8001{PREFIX}/b"),
        ("http://[half", "http://[half"),
        ("", ""),
    ],
)
def test_urls_of_the_server_that_was_asked_go_through_the_proxy(url: str, wanted: str) -> None:
    assert through(url, WAY) == wanted


BEFORE = b"""<!DOCTYPE html><HTML manifest='/m'><!-- <a href="/x"> -->
<a class="/c" HREF = "/b?x=1&amp;y=2">1 < 2</a> <a href=/bare>b</a><img src='/i.png' alt="a > b"/>
<script src="/s.js">if (a < b) document.write('<a href="/x">');</script><p title="/p">\xc3\xa9</p>
<a href="other">o</a><a <b><title><a href="/x"></title><form action=""><a href="/last">"""
AFTER = b"""<!DOCTYPE html><HTML manifest="P/m"><!-- <a href="/x"> -->
<a class="/c" HREF = "P/b?x=1&amp;y=2">1 < 2</a> <a href="P/bare">b</a><img src="P/i.png" alt="a > b"/>
<script src="P/s.js">if (a < b) document.write('<a href="/x">');</script><p title="/p">\xc3\xa9</p>
<a href="other">o</a><a <b><title><a href="/x"></title><form action=""><a href="P/last">""".replace(
    b"P/", PREFIX.encode() + b"/"
)


def test_a_page_is_changed_in_its_urls_alone() -> None:
    assert Page(WAY).passed(BEFORE, is_last=True) == AFTER


def test_a_parameter_that_begins_like_a_character_stays_one() -> None:
    found = Page(WAY).passed(b'<a href="/x?a=1&copy=2&timestamp=3&#38;b=4">', is_last=True)
    assert found == f'<a href="{PREFIX}/x?a=1&amp;copy=2&amp;timestamp=3&amp;b=4">'.encode()


def test_a_page_may_be_cut_anywhere() -> None:
    for cut in range(len(BEFORE)):
        page = Page(WAY)
        assert page.passed(BEFORE[:cut]) + page.passed(BEFORE[cut:], is_last=True) == AFTER
    page = Page(WAY)
    pieces = [page.passed(BEFORE[at : at + 1]) for at in range(len(BEFORE))]
    assert b"".join(pieces) + page.passed(b"", is_last=True) == AFTER


@pytest.mark.parametrize("text", [b"<a ", b"<", b'<a href="', b"<!--", b"<script>", b"<a'", b"<!-- -"])
def test_what_never_ends_passes_as_it_is(text: bytes) -> None:
    page, content = Page(WAY), text * 20_000
    made = [page.passed(content[at : at + 4096]) for at in range(0, len(content), 4096)]
    assert b"".join(made) + page.passed(b"", is_last=True) == content
    assert len(page.passed(b"<" + b"a" * links.TAG_BYTES_MAX + b" ")) > 0


async def arriving(content: bytes, size: int = 7) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (BEFORE, ""),
        (gzip.compress(BEFORE), "gzip"),
        (gzip.compress(BEFORE[:100]) + gzip.compress(b"") + gzip.compress(BEFORE[100:]), "gzip"),
    ],
)
async def test_a_compressed_page_arrives_plain(content: bytes, encoding: str) -> None:
    assert b"".join([piece async for piece in links.pages(arriving(content), encoding, WAY)]) == AFTER


async def test_a_small_piece_that_holds_much_is_looked_at_in_parts() -> None:
    content = b" " * (10 * links.PLAIN_BYTES_MAX)
    pieces = [piece async for piece in links.pages(arriving(gzip.compress(content), 100_000), "gzip", WAY)]
    assert max(map(len, pieces)) <= links.PLAIN_BYTES_MAX
    assert b"".join(pieces) == content


async def test_a_damaged_page_ends_with_an_error_that_is_known() -> None:
    with pytest.raises(Unavailable):
        _ = [piece async for piece in links.pages(arriving(b"not gzip at all"), "gzip", WAY)]


async def test_a_page_that_ends_too_early_is_not_passed_as_whole() -> None:
    with pytest.raises(Unavailable):
        _ = [piece async for piece in links.pages(arriving(gzip.compress(BEFORE)[:-9]), "gzip", WAY)]


async def test_an_answer_without_a_body_is_no_damaged_page() -> None:
    assert [piece async for piece in links.pages(arriving(b""), "gzip", WAY)] == []


def test_a_page_in_deflate_passes_as_it_is() -> None:
    assert links.is_page("text/html; charset=utf-8", "gzip")
    assert not links.is_page("text/html", "deflate")
