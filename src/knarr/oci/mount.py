"""Mounts as values: what a snapshotter returns and a runtime consumes (OCI runtime specification, config.md)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount call: `type` ("overlay", "bind", …), `source`, `options` as mount(8) takes them; `target` is below
    the root that the mounts are for ("" is the root itself)."""

    type: str
    source: str
    options: tuple[str, ...]
    target: str = ""
