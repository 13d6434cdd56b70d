"""PullImage: the image under its name, from here first.

What was built, tagged, loaded or pushed on this machine is never looked for elsewhere, whatever the pull policy; nor
is anything of this node's own registry. A name that was pulled before is asked for again, and fetched if it changed;
by its digest, too, though that cannot change: the registry says whether these credentials may have it.
"""

from knarr.base.errors import Invalid, KnarrError, NotFound
from knarr.cri.messages.image import AuthConfig, PullImageRequest, PullImageResponse
from knarr.images.credentials import Credentials, from_auth
from knarr.images.image_store import ImageStore
from knarr.images.pull import Puller
from knarr.oci import reference as references


async def pull_image(
    store: ImageStore, puller: Puller, own_domain: str, request: PullImageRequest
) -> PullImageResponse:
    """Raises NotFound, Unauthenticated, Forbidden, Unavailable with the reference and the registry's reason."""
    text = request.image.image if request.image else ""
    if not text:
        raise Invalid("image: no name is given")
    reference = references.parse(text)
    name = store.names.find(reference)
    if name is not None and name.is_own:
        image = store.whole(name.digest)
        if image is not None:
            await store.unpacked(image)
            return PullImageResponse(image_ref=image.id)
    if reference.domain == own_domain:
        raise NotFound(f'failed to pull image "{reference}": this node\'s registry has no such image: not found')
    try:
        image = await puller.pull(reference, credentials_of(request.auth))
    except KnarrError as error:
        raise type(error)(f'failed to pull image "{reference}": {error}') from error
    return PullImageResponse(image_ref=image.id)


def credentials_of(auth: AuthConfig | None) -> Credentials | None:
    """CRI's AuthConfig in our words; None when it is empty."""
    if auth is None:
        return None
    if auth.auth and not auth.username:
        return from_auth(auth.auth)
    found = Credentials(auth.username, auth.password, auth.identity_token, auth.registry_token)
    return None if found == Credentials() else found
