"""What goes with an image that was pulled: its other platforms, and signatures, SBOMs and attestations about it.

A pull brings what runs here; whoever carries an image on to another registry wants the whole of it. Referrers are
asked for by the API, else by the fallback tag (OCI distribution 1.1, referrers), and under cosign's own tags; each gets
a name by digest (or its tag), so that it stays and goes along with a push (images/push.py) and `knarr save
--referrers`.
"""

from functools import partial
from urllib.parse import urljoin, urlsplit

from knarr.base import logs
from knarr.base.errors import KnarrError, NotFound
from knarr.images import referrers
from knarr.images.content import read
from knarr.images.credentials import Credentials
from knarr.images.image_store import ImageStore
from knarr.images.progress import Report
from knarr.images.pull import Puller
from knarr.images.remote import Remote
from knarr.oci import manifest
from knarr.oci.digest import Digest
from knarr.oci.manifest import Index, Manifest
from knarr.oci.reference import Reference

_log = logs.log("images")
_PAGES_MAX = 16


class _Nothing(NotFound):
    """A mirror that knows no referrer may not know of referrers at all: the next one is asked."""


class Companions:
    """Fetches into the store that `puller` pulls into."""

    def __init__(self, store: ImageStore, puller: Puller) -> None:
        self._store = store
        self._puller = puller

    async def platforms(self, reference: Reference, credentials: Credentials | None, report: Report) -> None:
        """Every manifest that the name's index lists, with its blobs; none is unpacked."""
        fetch = partial(self._platforms, reference=reference, report=report)
        await self._puller.from_any(reference, credentials, fetch)

    async def referrers(self, reference: Reference, credentials: Credentials | None, report: Report) -> int:
        """What refers to the name's manifest, to those that its index lists and are here, and to these in turn;
        returns how many there are."""
        fetch = partial(self._referrers, reference=reference, report=report)
        try:
            return await self._puller.from_any(reference, credentials, fetch)
        except _Nothing:
            return 0

    async def _platforms(self, remote: Remote, *, reference: Reference, report: Report) -> None:
        top = self._parsed(self._digest(reference))
        for entry in top.manifests if isinstance(top, Index) else ():
            _, parsed = await self._puller.manifest(remote, entry.digest)
            await self._blobs(remote, parsed, report)

    async def _referrers(self, remote: Remote, *, reference: Reference, report: Report) -> int:
        pending = referrers.subjects(self._store.content, self._digest(reference))
        found: set[Digest] = set()
        while pending and len(found) < referrers.COUNT_MAX:
            subject = pending.pop(0)
            for digest in await self._listed(remote, subject):
                if digest in found or len(found) == referrers.COUNT_MAX:
                    continue
                _, parsed = await self._puller.manifest(remote, digest)
                if parsed.subject is None or parsed.subject.digest != subject:
                    _log.info("passed over a referrer %s", logs.fields(manifest=digest, of=subject))
                    continue
                await self._whole(remote, parsed, report)
                self._store.add(reference.at(digest), digest, "pulled")
                found.add(digest)
                pending.append(digest)
            for tag in referrers.cosign_tags(subject):
                found |= await self._tagged(remote, reference.tagged(tag), report)
        if not found:
            raise _Nothing
        return len(found)

    async def _listed(self, remote: Remote, subject: Digest) -> list[Digest]:
        """The digests that the registry lists under a subject."""
        found: list[Digest] = []
        path, query = f"referrers/{subject}", ""
        for _ in range(_PAGES_MAX):
            try:
                response = await remote.request("GET", path, query=query, headers=(("accept", manifest.OCI_INDEX),))
                page = _entries(await response.read(manifest.SIZE_MAX))
            except KnarrError as error:  # no such API: registries say so with 404, 400, 405 or worse, or a page of HTML
                if not query:
                    return await self._listed_by_tag(remote, subject)
                _log.warning("knows only some referrers %s", logs.fields(of=subject, reason=str(error)))
                break
            link = response.header("link")
            found += page
            following = urlsplit(urljoin(remote.url(path), link.partition("<")[2].partition(">")[0]))
            if 'rel="next"' not in link or not following.query or len(found) >= referrers.COUNT_MAX:
                break
            query = following.query
        return found

    async def _listed_by_tag(self, remote: Remote, subject: Digest) -> list[Digest]:
        try:
            _, parsed = await self._puller.manifest(remote, referrers.fallback_tag(subject))
        except NotFound:
            return []
        return [entry.digest for entry in parsed.manifests] if isinstance(parsed, Index) else []

    async def _tagged(self, remote: Remote, name: Reference, report: Report) -> set[Digest]:
        try:
            digest, parsed = await self._puller.manifest(remote, name.tag)
        except NotFound:
            return set()
        await self._whole(remote, parsed, report)
        self._store.add(name, digest, "pulled")
        return {digest}

    async def _whole(self, remote: Remote, parsed: Manifest | Index, report: Report) -> None:
        for entry in parsed.manifests if isinstance(parsed, Index) else ():
            _, inner = await self._puller.manifest(remote, entry.digest)
            await self._blobs(remote, inner, report)
        await self._blobs(remote, parsed, report)

    async def _blobs(self, remote: Remote, parsed: Manifest | Index, report: Report) -> None:
        if isinstance(parsed, Manifest):
            for part in (parsed.config, *parsed.layers):
                if not part.urls:
                    await self._puller.blob(remote, part, report)

    def _digest(self, reference: Reference) -> Digest:
        name = self._store.names.find(reference)
        if name is None:
            raise NotFound(f"image {reference.familiar} is not here")
        return name.digest

    def _parsed(self, digest: Digest) -> Manifest | Index:
        return manifest.parse(read(self._store.content, digest, manifest.SIZE_MAX))


def _entries(body: bytes) -> list[Digest]:
    parsed = manifest.parse(body, manifest.OCI_INDEX)
    return [entry.digest for entry in parsed.manifests] if isinstance(parsed, Index) else []
