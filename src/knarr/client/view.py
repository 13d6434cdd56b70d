"""View: the read-only, indexed picture of the cluster that plans are made from.

client/cache.py keeps it by list and watch and decodes each object's lens once per (uid, revision). Readers name the
lens type they want (`view.owned(Pod, uid)`); what comes back is shared and frozen.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import msgspec

from knarr.base.ids import Revision
from knarr.kinds.registry import Kind

Lens = TypeVar("Lens", bound=msgspec.Struct)


class View(Protocol):
    @property
    def revision(self) -> Revision:
        """Every change up to this revision of every kind in the view is seen."""
        ...

    def get(self, lens: type[Lens], namespace: str, name: str) -> Lens | None: ...

    def raw(self, lens: type[Lens], namespace: str, name: str) -> bytes | None:
        """The object's JSON as the server sent it: for what must be passed on whole, such as a pod template."""
        ...

    def list(self, lens: type[Lens], namespace: str = "") -> Sequence[Lens]:
        """All objects of one namespace, or of all when it is "", in the order of namespace and name."""
        ...

    def owned(self, lens: type[Lens], owner_uid: str, namespace: str = "") -> Sequence[Lens]:
        """Objects with an ownerReference to that uid (controller or not); "" gives those without any controller,
        those of one namespace where it is given."""
        ...

    def count(self, kind: Kind, namespace: str) -> int:
        """How many objects of a kind a namespace has; 0 for a kind that is not in the view."""
        ...

    def on_node(self, lens: type[Lens], node: str) -> Sequence[Lens]:
        """Pods whose spec.nodeName is that node ("" gives those without one)."""
        ...
