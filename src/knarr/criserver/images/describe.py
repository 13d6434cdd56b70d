"""How the CRI describes an image: ids, tags, digests and user, out of the names and the configuration. Pure."""

from collections.abc import Iterable

from knarr.cri.messages.config import ImageSpec, Int64Value
from knarr.cri.messages.image import Image as CriImage
from knarr.images.image_store import Image
from knarr.images.names import Name


def describe(image: Image, names: Iterable[Name]) -> CriImage:
    """One image with all the names that lead to it; one made on this machine is pinned: nobody could give it back."""
    names = tuple(names)
    tags, by_digest = [], []
    for name in names:
        reference = name.parsed
        if reference.tag:
            tags.append(str(reference))
        by_digest.append(str(reference.at(name.digest)))
    uid, username = user_of(image.config.config.user)
    return CriImage(
        id=image.id,
        repo_tags=tuple(dict.fromkeys(tags)),
        repo_digests=tuple(dict.fromkeys(by_digest)),
        size=image.size,
        uid=None if uid is None else Int64Value(value=uid),
        username=username,
        spec=ImageSpec(image=image.id),
        pinned=any(name.is_own for name in names),
    )


def user_of(user: str) -> tuple[int | None, str]:
    """(numeric user id or None, user name) of the configuration's `User`, whose group does not matter here."""
    name = user.partition(":")[0]
    if not name:
        return None, ""
    if name.isascii() and name.isdigit() and len(name) <= 10:
        return int(name), ""
    return None, name
