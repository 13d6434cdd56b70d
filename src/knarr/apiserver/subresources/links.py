"""Links of what a proxy passes back, changed so that they lead through the proxy again.

A page of a pod speaks of `/style.css`; seen through `…/pods/web/proxy/` that is another path. As upstream, a path from
the root, or a URL of the server that was asked, gets the proxy's path in front: in Location headers and in the
attributes of HTML that hold URLs. What is no tag (text, comments, scripts, styles) passes as it is.
Words: a *way* is the proxy's path and the hosts that it leads to; a *page* is one HTML body as it arrives.
"""

import html
import posixpath
import re
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from knarr.base.errors import Unavailable

PLAIN_BYTES_MAX: Final = 64 * 1024
"""So much of what a compressed page holds is looked at in one go, however small it was."""
_GZIP: Final = 31  # zlib's window bits for gzip
TAG_BYTES_MAX: Final = 16 * 1024
"""So much of a tag that is not complete is held back; a longer one passes as text."""
# Tag → its attributes that hold URLs (HTML 4.01 and the living standard, index of attributes).
URLS: Final[dict[str, frozenset[str]]] = {
    "a": frozenset(("href",)),
    "applet": frozenset(("codebase",)),
    "area": frozenset(("href",)),
    "audio": frozenset(("src",)),
    "base": frozenset(("href",)),
    "blockquote": frozenset(("cite",)),
    "body": frozenset(("background",)),
    "button": frozenset(("formaction",)),
    "command": frozenset(("icon",)),
    "del": frozenset(("cite",)),
    "embed": frozenset(("src",)),
    "form": frozenset(("action",)),
    "frame": frozenset(("longdesc", "src")),
    "head": frozenset(("profile",)),
    "html": frozenset(("manifest",)),
    "iframe": frozenset(("longdesc", "src")),
    "img": frozenset(("longdesc", "src", "usemap")),
    "input": frozenset(("src", "usemap", "formaction")),
    "ins": frozenset(("cite",)),
    "link": frozenset(("href",)),
    "object": frozenset(("classid", "codebase", "data", "usemap")),
    "q": frozenset(("cite",)),
    "script": frozenset(("src",)),
    "source": frozenset(("src",)),
    "video": frozenset(("poster", "src")),
}
# Elements whose content is text up to their own end tag.
VERBATIM: Final = frozenset(("script", "style", "textarea", "title", "xmp", "noembed", "noframes"))
# Possessive, so that a hostile page costs no more than one look at each of its bytes.
_TAG = re.compile(rb"""<([a-zA-Z][^\s/><"']*+)((?:[^<>"']++|"[^"]*+"|'[^']*+')*+)>""")
_BEGUN = re.compile(rb"""<(?:!-?|[a-zA-Z][^\s/><"']*+(?:[^<>"']++|"[^"]*+"|'[^']*+')*+(?:"[^"]*+|'[^']*+)?)?""")
_ATTRIBUTE = re.compile(rb"""([^\s=/>"']++)(\s*+=\s*+)(?:"([^"]*+)"|'([^']*+)'|([^\s>"']++))""")
# In an attribute a name without its semicolon is none: `&copy=1` is a parameter.
_REFERENCE = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[a-zA-Z][a-zA-Z0-9]*;)", re.ASCII)
# What ends the text that passes as it is → how it is looked for.
_ENDS: Final = {
    end: re.compile(re.escape(end), re.IGNORECASE) for end in (b"-->", *(b"</" + name.encode() for name in VERBATIM))
}


@dataclass(frozen=True, slots=True)
class Way:
    """`prefix` is the proxy's path, `target` the host that it leads to, `own` the host that the client asked."""

    prefix: str
    target: str
    own: str


def through(url: str, way: Way) -> str:
    """The URL by way of the proxy; what leads elsewhere, or is relative, stays."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if parts.netloc not in ("", way.target, way.own) or not parts.path.startswith("/"):
        return url
    path = parts.path
    if not path.startswith(way.prefix):
        path = posixpath.normpath(way.prefix + path) + ("/" if path.endswith("/") else "")
    scheme, host = (parts.scheme, parts.netloc) if parts.netloc == way.own else ("", "")
    return urlunsplit((scheme, host, path, parts.query, parts.fragment))


class Page:
    """One HTML body, piece by piece."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._held = b""
        self._until = b""
        """What ends the text that passes as it is: a comment's end, or an element's end tag."""

    def passed(self, piece: bytes, *, is_last: bool = False) -> bytes:
        """What can be passed on now; the last piece brings the rest."""
        text = self._held + piece
        made: list[bytes] = []
        position, goes_on = 0, True
        while goes_on and position < len(text):
            step = self._verbatim if self._until else self._tag
            position, goes_on = step(text, position, made)
        if is_last:
            made.append(text[position:])
        self._held = b"" if is_last else text[position:]
        return b"".join(made)

    def _verbatim(self, text: bytes, position: int, made: list[bytes]) -> tuple[int, bool]:
        """To the end of a comment or script, and whether it has come."""
        found = _ENDS[self._until].search(text, position)
        if found is None:
            end = max(position, len(text) - len(self._until) + 1)  # it may have begun
        else:
            end, self._until = found.start(), b""
        made.append(text[position:end])
        return end, found is not None

    def _tag(self, text: bytes, position: int, made: list[bytes]) -> tuple[int, bool]:
        """To the end of the next tag, and whether it has come."""
        start = text.find(b"<", position)
        if start < 0:
            made.append(text[position:])
            return len(text), False
        made.append(text[position:start])
        found = _TAG.match(text, start)
        if found is not None:
            made.append(self._changed(found))
            name = found[1].lower()
            self._until = b"</" + name if name.decode("latin-1") in VERBATIM else b""
            return found.end(), True
        if text.startswith(b"<!--", start):
            self._until = b"-->"
        elif len(text) - start <= TAG_BYTES_MAX and _BEGUN.fullmatch(text, start) is not None:
            return start, False
        made.append(b"<")
        return start + 1, True

    def _changed(self, tag: re.Match[bytes]) -> bytes:
        names = URLS.get(tag[1].decode("latin-1").lower())
        if names is None:
            return tag[0]
        return b"<" + tag[1] + _ATTRIBUTE.sub(lambda one: self._attribute(one, names), tag[2]) + b">"

    def _attribute(self, found: re.Match[bytes], names: frozenset[str]) -> bytes:
        if found[1].decode("latin-1").lower() not in names:
            return found[0]
        raw = next(value for value in found.group(3, 4, 5) if value is not None)
        url = _REFERENCE.sub(lambda one: html.unescape(one[0]), raw.decode("utf-8", "surrogateescape"))
        changed = through(url, self._way)
        if changed == url:
            return found[0]
        return found[1] + found[2] + b'"' + html.escape(changed).encode("utf-8", "surrogateescape") + b'"'


def is_page(media: str, encoding: str) -> bool:
    """Whether a body of this Content-Type and Content-Encoding is HTML that can be read.

    "deflate" is sent in two forms, with zlib's head and without: such a page passes as it is.
    """
    return media.partition(";")[0].strip().lower() == "text/html" and encoding in ("", "identity", "gzip")


async def pages(pieces: AsyncIterator[bytes], encoding: str, way: Way) -> AsyncIterator[bytes]:
    """The body with its links changed, no longer compressed. Raises Unavailable for one that is compressed wrongly."""
    page = Page(way)
    inflating = _Inflating() if encoding == "gzip" else None
    try:
        async for piece in pieces:
            for plain in (piece,) if inflating is None else inflating.plain(piece):
                if made := page.passed(plain):
                    yield made
    except zlib.error as error:
        raise Unavailable(f"the page's {encoding} is damaged: {error}") from error
    if inflating is not None and inflating.is_within:
        raise Unavailable(f"the page's {encoding} ends too early")
    if rest := page.passed(b"", is_last=True):
        yield rest


class _Inflating:
    """The members of a gzip body, one after the other."""

    def __init__(self) -> None:
        self._member: zlib._Decompress | None = None

    @property
    def is_within(self) -> bool:
        """Whether a member has begun that has not ended."""
        return self._member is not None

    def plain(self, piece: bytes) -> Iterator[bytes]:
        while piece:
            member = self._member or zlib.decompressobj(_GZIP)
            self._member = member
            if found := member.decompress(piece, PLAIN_BYTES_MAX):
                yield found
            piece = member.unused_data if member.eof else member.unconsumed_tail
            if member.eof:
                self._member = None
