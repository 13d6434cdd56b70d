"""Image pulls: by imagePullPolicy, once at a time per image, a few at once, with back-off and upstream's events.

Resolving a name locally first (built, tagged, loaded or pushed here) is the image service's; its answer to PullImage
is quick then. Not here: what an image is. Spec: docs "Images".
"""

import asyncio
import fnmatch
import json
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from knarr.base import durations, logs
from knarr.base.backoff import Backoff, BackoffRule
from knarr.base.clock import Clock, Instant
from knarr.base.errors import Invalid, KnarrError
from knarr.cri.messages.config import ImageSpec, PodSandboxConfig
from knarr.cri.messages.image import AuthConfig, Image, ImageStatusRequest, PullImageRequest
from knarr.cri.protocol import ImageService
from knarr.kinds.lens.config import Secret
from knarr.kubelet.members import AnyContainer
from knarr.kubelet.pulled_images import Credential, PulledImages
from knarr.kubelet.standing import Problem
from knarr.oci import reference as references

_log = logs.log("kubelet")
Event = Callable[[Literal["Normal", "Warning"], str, str], None]
"""Tells (type, reason, message) about the container."""


class StartFailed(Exception):
    """A container cannot start now: the waiting reason, its message and when to try again."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


OWN_ORIGINS = frozenset({"built", "tagged", "loaded", "pushed"})
"""How a name comes to be here without a pull; such a name wins over every registry, also under Always."""
SHOWN_SECONDS = 1.0
"""How long ErrImagePull is shown before the same wait is called ImagePullBackOff."""


@dataclass(slots=True)
class _Failures:
    backoff: Backoff
    message: str


class ImagePuller:
    """One per kubelet. `rule` is the back-off between failed pulls of one image for one pod."""

    def __init__(
        self, images: ImageService, clock: Clock, rule: BackoffRule, pulls_max: int, pulled: PulledImages
    ) -> None:
        self._images = images
        self._pulled = pulled
        self._clock = clock
        self._rule = rule
        self._slots = asyncio.Semaphore(pulls_max)
        self._failures: dict[tuple[str, str], _Failures] = {}

    async def ensure(
        self, uid: str, container: AnyContainer, secrets: Sequence[Secret], sandbox: PodSandboxConfig, event: Event
    ) -> Image:
        """The image a container shall run, pulled if its policy says so. Raises StartFailed."""
        reference, policy = container.image, pull_policy(container)
        if message := name_fault(reference):
            event("Warning", "InspectFailed", message)
            event("Warning", "Failed", "Error: InvalidImageName")
            raise StartFailed(Problem("InvalidImageName", message, self._later(10)))
        present = None if policy == "Always" else await self.find(reference)
        if present is not None and await self._may_use(present, reference, secrets):
            event("Normal", "Pulled", f'Container image "{reference}" already present on machine')
            return present
        own = await self._own(reference) if policy == "Always" else None
        if own is not None:
            image, origin = own
            text = f"it was {origin} on this machine, so no registry was asked"
            event("Normal", "Pulled", f'Container image "{reference}" already present on machine: {text}')
            return image
        if policy == "Never":
            message = f'Container image "{reference}" is not present with pull policy of Never'
            event("Warning", "ErrImageNeverPull", message)
            raise StartFailed(Problem("ErrImageNeverPull", message, self._later(10)))
        self._refuse_early(uid, reference, event)
        return await self._pull(uid, reference, secrets, sandbox, event)

    async def _may_use(self, image: Image, reference: str, secrets: Sequence[Secret]) -> bool:
        """Whether the pod may run what is here; if it may not, its own credentials have to do."""
        if self._pulled.may_use(image, reference, credentials(secrets, reference)):
            return True
        return await self._own(reference) is not None

    async def find(self, reference: str) -> Image | None:
        """The image if it is on this machine."""
        spec = ImageSpec(image=reference, user_specified_image=reference)
        return (await self._images.image_status(ImageStatusRequest(image=spec))).image

    async def _own(self, reference: str) -> tuple[Image, str] | None:
        """The image and how its name came to be, if the name was made on this machine (knarr's own image service)."""
        spec = ImageSpec(image=reference, user_specified_image=reference)
        answer = await self._images.image_status(ImageStatusRequest(image=spec, verbose=True))
        origin = answer.info.get("origin", "")
        return (answer.image, origin) if answer.image is not None and origin in OWN_ORIGINS else None

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        for key in [key for key in self._failures if key[0] == uid]:
            del self._failures[key]

    def _refuse_early(self, uid: str, reference: str, event: Event) -> None:
        failed = self._failures.get((uid, reference))
        due = failed.backoff.retry_at(self._rule) if failed else None
        if failed is not None and due is not None and due > self._clock.now():
            raise StartFailed(self._back_off(reference, failed, due, event))

    def _back_off(self, reference: str, failed: _Failures, due: Instant, event: Event) -> Problem:
        text = f'Back-off pulling image "{reference}"'
        event("Normal", "BackOff", text)
        event("Warning", "Failed", "Error: ImagePullBackOff")
        return Problem("ImagePullBackOff", f"{text}: {failed.message}", due)

    async def _pull(
        self, uid: str, reference: str, secrets: Sequence[Secret], sandbox: PodSandboxConfig, event: Event
    ) -> Image:
        asked = self._clock.now()
        event("Normal", "Pulling", f'Pulling image "{reference}"')
        try:
            async with self._slots:
                began = self._clock.now()
                image = await self._noted(reference, credentials(secrets, reference), sandbox)
        except (KnarrError, OSError) as error:
            event("Warning", "Failed", f'Failed to pull image "{reference}": {error}')
            event("Warning", "Failed", "Error: ErrImagePull")
            key = (uid, reference)
            past = self._failures.get(key)
            backoff = (past.backoff if past else Backoff()).failed(self._clock.now(), self._rule)
            self._failures[key] = _Failures(backoff, f"ErrImagePull: {error}")
            raise StartFailed(Problem("ErrImagePull", str(error), self._later(SHOWN_SECONDS))) from error
        self._failures.pop((uid, reference), None)
        now = self._clock.now()
        took, waited = duration(now - began), duration(now - asked)
        text = f'Successfully pulled image "{reference}" in {took} ({waited} including waiting).'
        event("Normal", "Pulled", f"{text} Image size: {image.size} bytes.")
        return image

    async def _noted(self, reference: str, offered: Sequence[Credential], sandbox: PodSandboxConfig) -> Image:
        """Pull, and keep on record whose credentials brought the image; before, that one may come."""
        self._pulled.begin(reference)
        try:
            await self._pulled.save()
            image, credential = await self._try(reference, offered, sandbox)
        except KnarrError:
            self._pulled.failed(reference)
            await self._save()
            raise
        except BaseException:  # cut off: the runtime may go on with it
            self._pulled.failed(reference, is_over=False)
            raise
        self._pulled.note(image.id, reference, credential)
        await self._save()
        return image

    async def _save(self) -> None:
        try:
            await self._pulled.save()
        except OSError as error:  # the file still says that a pull was begun, so the image is not free
            _log.warning("pulled images %s", logs.fields(fault="were not written", error=error))

    async def _try(
        self, reference: str, offered: Sequence[Credential], sandbox: PodSandboxConfig
    ) -> tuple[Image, Credential]:
        """Pull with each credential until one works: that one, too."""
        spec = ImageSpec(image=reference, user_specified_image=reference)
        failure: KnarrError | OSError | None = None
        for credential in offered:
            request = PullImageRequest(image=spec, auth=credential.auth, sandbox_config=sandbox)
            try:
                pulled = await self._images.pull_image(request)
            except (KnarrError, OSError) as error:
                failure = error
                continue
            found = await self.find(pulled.image_ref or reference) or await self.find(reference)
            return found if found is not None else Image(id=pulled.image_ref or reference), credential
        assert failure is not None
        raise failure

    def _later(self, seconds: float) -> Instant:
        return self._clock.now() + timedelta(seconds=seconds)


def name_fault(reference: str) -> str:
    """What is wrong with a name that could be no image's; "" for one that could."""
    try:
        references.parse(reference)
    except Invalid:
        head, _, rest = reference.partition("/")
        has_domain = bool(rest) and ("." in head or ":" in head or head == "localhost")
        path = (rest if has_domain else reference).partition("@")[0].partition(":")[0]
        path = path if has_domain or rest else f"library/{path}"
        why = "invalid reference format"
        if path != path.lower():
            why += f": repository name ({path}) must be lowercase"
        return f'Failed to apply default image tag "{reference}": couldn\'t parse image name "{reference}": {why}'
    return ""


def pull_policy(container: AnyContainer) -> str:
    """The policy; without one, Always for the tag latest (which a bare name means), else IfNotPresent."""
    if container.image_pull_policy:
        return container.image_pull_policy
    name = container.image.rpartition("/")[2]
    if "@" in name:
        return "IfNotPresent"
    return "Always" if ":" not in name or name.endswith(":latest") else "IfNotPresent"


def credentials(secrets: Sequence[Secret], reference: str) -> list[Credential]:
    """Those of the pod's imagePullSecrets that fit the image; without any, none is shown."""
    found: list[Credential] = []
    for secret in secrets:
        meta = secret.metadata
        for server, entry in _docker_config(secret).items():
            auth = _auth(server, entry) if _fits(server, reference) else None
            if auth is not None:
                found.append(Credential(auth, f"{meta.uid}/{meta.namespace}/{meta.name}"))
    return found or [Credential()]


_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
"""Names of one registry; its images without an owner are `library`'s."""


def _fits(server: str, reference: str) -> bool:
    """Whether a name in a pull secret means the image: host by host part, where `*` is a part or a piece of one, and
    the beginning of the repository's path (docs: Images, interpretation of config.json)."""
    registry, _, repository = reference.partition("/")
    if not repository or not ("." in registry or ":" in registry or registry == "localhost"):
        registry, repository = _HUB[0], reference
    host, _, path = server.removeprefix("https://").removeprefix("http://").partition("/")
    path = f"{path}/".removeprefix("v1/").removeprefix("v2/").strip("/")
    if registry in _HUB:
        registry, repository = _HUB[0], repository if "/" in repository else f"library/{repository}"
        host = _HUB[0] if host in _HUB else host
    (name, _, port), (wanted, _, wanted_port) = registry.partition(":"), host.partition(":")
    parts, globs = name.split("."), wanted.split(".")
    is_host = len(parts) == len(globs) and all(map(fnmatch.fnmatchcase, parts, globs))
    return is_host and port == wanted_port and repository.startswith(path)


def _docker_config(secret: Secret) -> dict[str, Any]:
    try:
        if ".dockerconfigjson" in secret.data:
            return dict(json.loads(b64decode(secret.data[".dockerconfigjson"])).get("auths", {}))
        if ".dockercfg" in secret.data:
            return dict(json.loads(b64decode(secret.data[".dockercfg"])))
    except (ValueError, AttributeError, TypeError):
        return {}
    return {}


def _auth(server: str, entry: object) -> AuthConfig | None:
    """One entry; None for what is none."""
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key, ""), str) for key in _AUTH_KEYS):
        return None
    username, password = entry.get("username", ""), entry.get("password", "")
    if not username and entry.get("auth"):
        try:
            username, _, password = b64decode(entry["auth"]).decode(errors="replace").partition(":")
        except ValueError:
            return None
    return AuthConfig(
        username=username, password=password, server_address=server, identity_token=entry.get("identitytoken", "")
    )


_AUTH_KEYS = ("username", "password", "auth", "identitytoken")


def duration(delta: timedelta) -> str:
    """A duration as Go prints it, to the millisecond."""
    milliseconds = max(0, round(delta.total_seconds() * 1000))
    return durations.shown(milliseconds * durations.UNITS["ms"])
