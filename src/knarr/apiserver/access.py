"""Access: whether a user may do something. The decision is RBAC's (rbac.py); this file holds the question."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from knarr.apiserver.context import User

MASTERS = "system:masters"


class Attributes(NamedTuple):
    """One question; for a path that is no resource only `verb` and `path` are set.

    `field_selector` is the text of a list's or watch's; only the Node authorizer looks at it. A tuple: every request
    makes one, and looks decisions up by it."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    field_selector: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    is_allowed: bool
    reason: str = ""


ALLOWED = Decision(True)
REFUSED = Decision(False)


class Access(Protocol):
    def trusts(self, user: User) -> bool:
        """Whether the user may do everything, so that no question need be put."""
        ...

    def decide(self, user: User, wanted: Attributes) -> Decision: ...


class AllowAll:
    """For harnesses that test something else than access."""

    def trusts(self, user: User) -> bool:
        return True

    def decide(self, user: User, wanted: Attributes) -> Decision:
        return Decision(True)


def refusal_text(user: User, wanted: Attributes, reason: str) -> str:
    """What upstream says after `is forbidden: `."""
    if wanted.path:
        text = f'User "{user.name}" cannot {wanted.verb} path "{wanted.path}"'
    else:
        resource = wanted.resource + (f"/{wanted.subresource}" if wanted.subresource else "")
        text = f'User "{user.name}" cannot {wanted.verb} resource "{resource}" in API group "{wanted.group}"'
        text += f' in the namespace "{wanted.namespace}"' if wanted.namespace else " at the cluster scope"
    return f"{text}: {reason}" if reason else text
