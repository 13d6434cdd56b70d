"""What the scheduler reads of PersistentVolumeClaims: are they bound, and to what? Judged in filters/volumes.py."""

from collections.abc import Mapping

from msgspec import Struct

from knarr.kinds.lens.meta import ObjectMeta


class _Spec(Struct, frozen=True, rename="camel"):
    volume_name: str = ""


class _Status(Struct, frozen=True):
    phase: str = ""


class Claim(Struct, frozen=True):
    """What the scheduler reads of a PersistentVolumeClaim."""

    metadata: ObjectMeta = ObjectMeta()
    spec: _Spec = _Spec()
    status: _Status = _Status()


Claims = Mapping[tuple[str, str], Claim]
"""By namespace and name."""
