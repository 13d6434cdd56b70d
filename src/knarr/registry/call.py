"""One call to the registry, parsed: who is asked for what. And the state that every route works on."""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from knarr.base.errors import BadRequest, Invalid
from knarr.images.content import ContentStore
from knarr.images.keyed_locks import KeyedLocks
from knarr.images.names import Names
from knarr.oci import digest as digests
from knarr.oci.digest import Digest
from knarr.oci.reference import Reference, is_repository_path, is_tag
from knarr.registry.errors import Failure
from knarr.registry.grants import EVERYTHING, Grants
from knarr.registry.pull_through import PullThrough
from knarr.registry.quota import Quota
from knarr.registry.sessions import Sessions
from knarr.wire.http import Request

_NAME_LENGTH_MAX = 255
_REPOSITORIES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class State:
    """What the registry serves: `domain` ("localhost:5000") stands before its repositories in the names. `upstream`
    is asked for what is not here, if it stands for other registries. `naming` lets one manifest at a time into a
    repository."""

    content: ContentStore
    names: Names
    domain: str
    quota: Quota = Quota()
    upstream: PullThrough | None = None
    sessions: Sessions = field(default_factory=Sessions)
    repositories: set[str] = field(default_factory=set)
    naming: KeyedLocks = field(default_factory=KeyedLocks)

    def remember(self, name: str) -> None:
        """A repository that was pushed to stays known when it is empty, until the process ends."""
        if len(self.repositories) < _REPOSITORIES_MAX:
            self.repositories.add(name)


@dataclass(frozen=True, slots=True)
class Call:
    """`name` is the repository inside the registry, `argument` the last part of the path where there is one."""

    request: Request
    name: str = ""
    argument: str = ""
    grants: Grants = EVERYTHING

    @property
    def query(self) -> dict[str, str]:
        try:
            return dict(parse_qsl(self.request.query, keep_blank_values=True, strict_parsing=False, max_num_fields=32))
        except ValueError as error:
            raise BadRequest(f"query: {error}") from error

    def repository(self, state: State) -> str:
        """The repository as names spell it. Raises Failure for a name that the grammar refuses."""
        repository = f"{state.domain}/{self.name}"
        if not is_repository_path(self.name) or len(repository) > _NAME_LENGTH_MAX:
            raise Failure("NAME_INVALID", f"repository name {self.name[:160]!r} is not valid; names are lower case")
        return repository

    def reference(self, state: State) -> Reference:
        """The reference that `argument`, a tag or a digest, names in this repository."""
        self.repository(state)
        if ":" in self.argument:
            return Reference(state.domain, self.name, digest=parse_digest(self.argument))
        if not is_tag(self.argument):
            if self.request.method != "PUT":
                raise Failure("MANIFEST_UNKNOWN", f"manifest {self.argument[:160]!r} of {self.name} is not here")
            raise Failure("TAG_INVALID", f"{self.argument[:160]!r} is neither a tag nor a digest")
        return Reference(state.domain, self.name, tag=self.argument)


def parse_digest(text: str) -> Digest:
    """A digest out of a request. Raises Failure."""
    try:
        return digests.parse(text)
    except Invalid as error:
        raise Failure("DIGEST_INVALID", str(error)) from error


def page(items: list[str], call: Call, path: str) -> tuple[list[str], tuple[tuple[str, str], ...]]:
    """One page of sorted items by `n` and `last`, and the Link header to the next one."""
    query = call.query
    last, count = query.get("last", ""), query.get("n", "")
    after = [item for item in items if item > last] if last else items
    if not count:
        return after, ()
    if not (count.isascii() and count.isdigit() and len(count) < 10):
        raise Failure("UNSUPPORTED", f"n: {count[:40]!r} is not a number", status=400)
    shown = after[: int(count)]
    if not shown or len(shown) == len(after):
        return shown, ()
    return shown, (("link", f'<{path}?n={count}&last={shown[-1]}>; rel="next"'),)
