"""Revisions of StatefulSets and DaemonSets: a name that somebody else has counts as a collision."""

import msgspec

from knarr.base.ids import Revision
from knarr.client.cache import Cache
from knarr.client.client import Json
from knarr.controllers import history
from knarr.controllers.controller import Create
from knarr.kinds.apps import CONTROLLERREVISION, DAEMONSET
from knarr.kinds.lens.meta import ObjectMeta
from knarr.kinds.lens.sets import DaemonSet

TEMPLATE: Json = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
ROOT = DaemonSet(metadata=ObjectMeta(name="agent", namespace="a", uid="u"))


def view(*names: str) -> Cache:
    cache = Cache([CONTROLLERREVISION, DAEMONSET])
    listed = [
        {"metadata": {"name": name, "namespace": "a", "uid": name, "resourceVersion": "1"}, "data": {}, "revision": 1}
        for name in names
    ]
    cache.replace(CONTROLLERREVISION, [msgspec.json.encode(one) for one in listed], Revision(1))
    return cache


def test_a_taken_name_is_counted_and_another_one_is_found() -> None:
    free = history.of(DAEMONSET, ROOT, TEMPLATE, view())
    once = history.of(DAEMONSET, ROOT, TEMPLATE, view(free.update))
    twice = history.of(DAEMONSET, ROOT, TEMPLATE, view(free.update, once.update))
    assert [free.collisions, once.collisions, twice.collisions] == [None, 1, 2]
    assert len({free.update, once.update, twice.update}) == 3
    created = twice.actions[0]
    assert isinstance(created, Create)
    assert created.body["metadata"]["name"] == twice.update


def test_the_content_is_written_in_the_order_of_names() -> None:
    template: Json = {"spec": {"nodeName": "n", "containers": []}, "metadata": {}}
    (created,) = history.of(DAEMONSET, ROOT, template, view()).actions
    assert isinstance(created, Create)
    assert msgspec.json.encode(created.body["data"]) == (
        b'{"spec":{"template":{"$patch":"replace","metadata":{},"spec":{"containers":[],"nodeName":"n"}}}}'
    )
