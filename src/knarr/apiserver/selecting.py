"""Selecting: which objects the label and field selectors of a request choose, read from stored bytes.

Only what the selectors need is decoded. The selectors' grammar is objects/labels.py and objects/field_selectors.py.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from knarr.apiserver import conversions
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Resource
from knarr.base.errors import BadRequest, Invalid


class _Meta(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Labelled(msgspec.Struct):
    metadata: _Meta


_labelled = msgspec.json.Decoder(_Labelled)
_any = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen objects; `name` is set when the fields name exactly one object."""

    labels: Any = None
    fields: Any = None
    name: str = ""
    served: Resource | None = None
    """The resource whose version the fields are of, where that is not the stored one."""

    @property
    def is_everything(self) -> bool:
        return self.labels is None and self.fields is None

    def matches(self, value: bytes) -> bool:
        """Whether stored bytes are chosen."""
        if self.labels is not None and not self.labels.matches(_labelled.decode(value).metadata.labels or {}):
            return False
        if self.fields is None:
            return True
        obj = _any.decode(value)
        if self.served is not None:
            obj = conversions.served(self.served, obj)
        return bool(self.fields.matches(obj))


EVERYTHING = Selection()


def of(context: RequestContext) -> Selection:
    """The request's selection. Raises BadRequest in upstream's words."""
    label_text = context.query.get("labelSelector", "")
    field_text = context.query.get("fieldSelector", "")
    if context.route.name:
        field_text = f"metadata.name={context.route.name}" + (f",{field_text}" if field_text else "")
    if not label_text and not field_text:
        return EVERYTHING
    return _parsed(context.resource, label_text, field_text)


@lru_cache(512)
def _parsed(resource: Resource, label_text: str, field_text: str) -> Selection:
    from knarr.kinds import field_selectors
    from knarr.objects import labels

    try:
        chosen = labels.parse(label_text) if label_text else None
        fields = field_selectors.parse(resource.kind, field_text) if field_text else None
    except (Invalid, ValueError) as error:
        raise BadRequest(str(error)) from error
    served = resource if resource.is_converted else None
    return Selection(chosen, fields, single_name(field_text), served)


def single_name(field_text: str) -> str:
    """The name of the one object that a field selector allows; "" when it allows more."""
    for requirement in field_text.split(","):
        path, _, value = requirement.replace("==", "=").partition("=")
        if path == "metadata.name" and "!" not in requirement:
            return value
    return ""
