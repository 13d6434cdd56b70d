"""Rules about images that do not come: by what the pull's error says. Spec: "Images", imagePullPolicy."""

from collections.abc import Callable
from dataclasses import dataclass

from knarr.diagnosis import scene as scenes
from knarr.diagnosis.container import Container
from knarr.diagnosis.finding import Finding, evidence

_PULL_REASONS = ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable")


@dataclass(frozen=True, slots=True)
class _Row:
    """If the error has one of `words`: the cause and the next step."""

    words: tuple[str, ...]
    cause: Callable[[Container, str], str]
    next_step: str


def never_pulled(container: Container) -> Finding | None:
    if container.reason != "ErrImageNeverPull":
        return None
    image = container.spec.get("image", "")
    return Finding(
        f"image {image!r} is not on the node and imagePullPolicy Never forbids pulling it",
        evidence(container.message),
        f"build or load it (knarr build -t {image} ., knarr load), or use imagePullPolicy: IfNotPresent",
    )


def invalid_name(container: Container) -> Finding | None:
    image = str(container.spec.get("image", ""))
    is_bad = container.reason == "InvalidImageName"
    upper = container.reason in _PULL_REASONS and image.split(":")[0] != image.split(":")[0].lower()
    if not is_bad and not upper:
        return None
    return Finding(
        f"{image!r} is not a valid image name",
        evidence(container.message),
        "write the image as [registry/]name[:tag] with a lower-case name",
    )


def not_pulled(container: Container) -> Finding | None:
    if container.reason not in _PULL_REASONS:
        return None
    said = _pull_error(container)
    row = next((row for row in _ROWS if any(word in said.lower() for word in row.words)), _OTHER)
    secrets = [str(each.get("name")) for each in scenes.spec(container.pod).get("imagePullSecrets") or ()]
    missing = container.scene.newest(container.pod, "FailedToRetrieveImagePullSecret")
    return Finding(
        row.cause(container, said),
        evidence(said, missing, f"imagePullSecrets: {', '.join(secrets) or 'none'}" if row is _REFUSED else ""),
        row.next_step,
    )


def _pull_error(container: Container) -> str:
    """The cause behind "Back-off pulling image": in the message itself, else in the event."""
    shown = container.message
    if (": " in shown and not shown.startswith("Back-off")) or "ErrImagePull: " in shown:
        return shown.split("ErrImagePull: ", 1)[-1]
    return container.event("Failed", start="Failed to pull image") or shown


def _image(container: Container) -> str:
    return str(container.spec.get("image", ""))


def _registry(container: Container) -> str:
    first = _image(container).split("/")[0]
    return first if "/" in _image(container) and ("." in first or ":" in first) else "docker.io"


_REFUSED = _Row(
    ("unauthorized", "401", "403", "forbidden", "authentication required", "access denied", "denied:", "no basic auth"),
    lambda container, _: (
        f"the registry {_registry(container)} refuses to give {_image(container)!r}: credentials are missing or wrong"
    ),
    "kubectl create secret docker-registry NAME --docker-server=… and name it in imagePullSecrets",
)
# Error words, what they mean, what to do. The first row that holds answers: a refusal may say "not found" as well.
_ROWS = (
    _REFUSED,
    _Row(
        ("manifest unknown", "manifest not found", "tag not found", "unknown tag"),
        lambda container, _: f"the registry {_registry(container)} has no such tag: {_image(container)!r}",
        "mend the tag, or push that image: knarr push IMAGE",
    ),
    _Row(
        ("connection refused", "no route to host", "i/o timeout", "timed out", "unreachable", "tls", "certificate"),
        lambda container, _: f"the registry {_registry(container)} cannot be reached",
        "check that the registry runs and its address is right; or build the image here: knarr build -t IMAGE .",
    ),
    _Row(
        ("no such host", "name or service not known", "name resolution", "getaddrinfo"),
        lambda container, _: f"the registry's name {_registry(container)} does not resolve",
        "mend the registry's name in the image, or this machine's DNS",
    ),
    _Row(
        ("no matching manifest", "no match for platform", "no image for platform"),
        lambda container, _: f"image {_image(container)!r} is not made for this machine's architecture",
        "build it for this architecture, or choose a tag that has it",
    ),
    _Row(
        ("repository name not known", "name unknown", "not found", "no such image", "does not exist", "404"),
        lambda container, _: f"there is no image {_image(container)!r}",
        "mend the name or tag in the pod template, or build and push it: knarr build -t IMAGE .",
    ),
    _Row(
        ("no space left",),
        lambda _, __: "the node's disk is full",
        "free space: knarr prune removes images that nothing needs",
    ),
)
_OTHER = _Row(
    (), lambda container, _: f"image {_image(container)!r} could not be pulled", "mend what the error says; kubectl "
    "describe pod shows each attempt",
)  # fmt: skip
