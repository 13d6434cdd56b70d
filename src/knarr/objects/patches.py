"""The three patch types that need no owner: JSON patch, merge patch, strategic merge patch. Apply is in apply.py.

Each takes the live object and the decoded patch and returns a new object; the live one is never changed.
"""

from typing import Any

from knarr.base.errors import BadRequest
from knarr.objects import json_patch as json_patches
from knarr.objects import merge_patch as merge_patches
from knarr.objects import strategic
from knarr.objects.schema import Schema

Json = dict[str, Any]


def json_patch(old: Json, operations: Any) -> Json:
    return _object(json_patches.patched(old, operations))


def merge_patch(old: Json, patch: Any) -> Json:
    return _object(merge_patches.merged(old, patch))


def strategic_merge_patch(schema: Schema, old: Json, patch: Any) -> Json:
    return _object(strategic.merged(schema, old, patch))


def _object(value: Any) -> Json:
    if not isinstance(value, dict):
        raise BadRequest("the patch leaves no object")
    return value
