"""Image references: how Docker and Kubernetes read `nginx`, `localhost:5000/web:v1` or `ghcr.io/x/y@sha256:…`.

Decides the normal form (domain, path, tag or digest) and the familiar one that people type. It does not look anything
up. The grammar is that of the distribution project's reference package; the defaults are Docker's.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from knarr.base.errors import Invalid
from knarr.oci import digest as digests
from knarr.oci.digest import Digest

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_NAME_LENGTH_MAX = 255
_TEXT_LENGTH_MAX = 600
"""A name, a tag of 128 characters and a digest of 135 fit."""
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A normalised reference. `tag` is "" only when there is a digest; `digest` None when only a tag is named."""

    domain: str
    path: str
    tag: str = ""
    digest: Digest | None = None

    @property
    def repository(self) -> str:
        """Domain and path, as in `docker.io/library/nginx`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar(self) -> str:
        """The short form that people type: `nginx:latest`."""
        return familiar_repository(self.repository) + self._suffix()

    def at(self, digest: Digest) -> "Reference":
        """The same repository by digest alone."""
        return replace(self, tag="", digest=digest)

    def tagged(self, tag: str) -> "Reference":
        """The same repository under another tag. Raises Invalid for a text that is no tag."""
        if not is_tag(tag):
            raise Invalid(f"tag: {tag[:160]!r} is not 1 to 128 letters, digits, `_`, `.` or `-`")
        return replace(self, tag=tag, digest=None)

    def __str__(self) -> str:
        return self.repository + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """The reference that `text` names, with Docker's defaults filled in. Raises Invalid with what is wrong."""
    if len(text) > _TEXT_LENGTH_MAX:
        raise Invalid(f"reference {text[:160]!r}…: {len(text)} characters are more than {_TEXT_LENGTH_MAX}")
    return _parse(text)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Reference:
    name, at, digest_text = text.partition("@")
    digest = digests.parse(digest_text) if at else None
    name, tag = _split_tag(name)
    if _IDENTIFIER.fullmatch(name):
        raise Invalid(f"reference: {text[:160]!r} is an image id, not a name")
    domain, path = _split_domain(name)
    if not _DOMAIN.fullmatch(domain):
        raise Invalid(f"reference {text[:160]!r}: {domain!r} is not a registry host")
    if not is_repository_path(path):
        hint = "; repository names are lower case" if path != path.lower() else ""
        raise Invalid(f"reference {text[:160]!r}: {path[:160]!r} is not a repository name{hint}")
    if len(domain) + 1 + len(path) > _NAME_LENGTH_MAX:
        raise Invalid(f"reference {text[:160]!r}: the name is longer than {_NAME_LENGTH_MAX} characters")
    if tag is not None and not is_tag(tag):
        raise Invalid(f"reference {text[:160]!r}: {tag[:160]!r} is not a tag")
    return Reference(domain, path, tag or ("" if digest else DEFAULT_TAG), digest)


def is_repository_path(path: str) -> bool:
    """Whether `path` may name a repository inside a registry."""
    return _PATH.fullmatch(path) is not None


def is_domain(text: str) -> bool:
    """Whether `text` may name a registry: a host, with a port or without."""
    return _DOMAIN.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    return _TAG.fullmatch(text) is not None


def familiar_repository(repository: str) -> str:
    """`docker.io/library/nginx` → `nginx`."""
    return repository.removeprefix(f"{DEFAULT_DOMAIN}/library/").removeprefix(f"{DEFAULT_DOMAIN}/")


def _split_tag(name: str) -> tuple[str, str | None]:
    """A colon after the last slash parts the tag."""
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        return name, None
    return head, tag


def _split_domain(name: str) -> tuple[str, str]:
    """The first component is a host if it looks like one: a dot, a colon, `localhost` or an upper-case letter."""
    first, slash, rest = name.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    domain, path = (first, rest) if is_host else (DEFAULT_DOMAIN, name)
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = f"library/{path}"
    return domain, path
