"""Push and pull for the CLI: credentials from the request, progress as lines. Credentials are never logged or kept."""

from typing import Any

from knarr.images.companions import Companions
from knarr.images.credentials import Credentials, from_docker_config
from knarr.images.progress import Progress, Report
from knarr.images.pull import Puller
from knarr.images.push import Pusher
from knarr.nodeapi.messages import TransferBody
from knarr.nodeapi.streams import Say
from knarr.oci import reference as references
from knarr.oci.reference import Reference


async def push(pusher: Pusher, body: TransferBody, say: Say) -> dict[str, Any]:
    reference = references.parse(body.image)
    digest = await pusher.push(reference, _credentials(body, reference), _reporter(say))
    return {"name": reference.familiar, "digest": digest}


async def pull(puller: Puller, companions: Companions, body: TransferBody, say: Say) -> dict[str, Any]:
    reference = references.parse(body.image)
    credentials, report = _credentials(body, reference), _reporter(say)
    image = await puller.pull(reference, credentials, report)
    if body.all_platforms:
        await companions.platforms(reference, credentials, report)
    count = await companions.referrers(reference, credentials, report) if body.referrers else 0
    return {"name": reference.familiar, "digest": image.name_digest, "referrers": count}


def _credentials(body: TransferBody, reference: Reference) -> Credentials | None:
    if body.username == "<token>":
        return Credentials(identity_token=body.password)
    if body.username:
        return Credentials(body.username, body.password)
    return from_docker_config({"auths": body.auths}, reference.domain)


def _reporter(say: Say) -> Report:
    def report(progress: Progress) -> None:
        say(layer=progress.digest, stage=progress.stage, done=progress.done, size=progress.size)

    return report
