"""Managed fields: who set what, kept with every write for server-side apply. The walks are in objects/apply.py."""

from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json


def created(context: RequestContext, obj: Json) -> Json:
    return obj


def updated(context: RequestContext, new: Json, old: Json) -> Json:
    return new
