"""Stored bytes of resources."""

import msgspec
import pytest

from knarr.apiserver import resources
from knarr.kinds import registry

COMMAND = 'a && b < c > "\\\\&" \u2028\u2029'


@pytest.fixture
def served() -> resources.Resources:
    return resources.Resources(registry.builtin())


def test_a_revisions_text_has_the_escapes_that_go_writes(served: resources.Resources) -> None:
    resource = served.of("apps", "v1", "controllerrevisions")
    made = {"metadata": {"name": "r", "resourceVersion": "1"}, "data": {"command": COMMAND}, "revision": 1}
    value = resource.encode(made)
    assert value == (
        rb'{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"r"},"data":'
        rb'{"command":"a \u0026\u0026 b \u003c c \u003e \"\\\\\u0026\" \u2028\u2029"},"revision":1}'
    )
    assert resource.decode(value, 7)["data"] == {"command": COMMAND}
    assert msgspec.json.decode(resource.splice(value, 7))["metadata"] == {"resourceVersion": "7", "name": "r"}


def test_another_kinds_text_is_written_as_it_is(served: resources.Resources) -> None:
    value = served.of("", "v1", "configmaps").encode({"metadata": {}, "data": {"a": "b && c"}})
    assert b'"b && c"' in value
