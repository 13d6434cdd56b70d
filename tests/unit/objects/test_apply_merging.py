"""Merging a configuration into a live object, against the dumb way: merge the raw values, then decode the whole."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from knarr.base.errors import BadRequest
from knarr.kinds import schemas, walks
from knarr.kinds.apps import DEPLOYMENT
from knarr.objects import apply, decoding, fields
from knarr.objects.schema import Schema

Json = dict[str, Any]
SCHEMA = schemas.of(DEPLOYMENT)


def dumbly_combined(schema: Schema, live: Any, config: Any) -> Any:
    if schema.is_atomic or config is None:
        return config
    if schema.form in ("struct", "map") and isinstance(config, dict):
        made = dict(live) if isinstance(live, dict) else {}
        for key, value in config.items():
            place = fields.below(schema, key)
            made[key] = dumbly_combined(place, made.get(key), value) if place is not None else value
        return made
    if schema.form == "list" and isinstance(config, list) and isinstance(live, list):
        return _list(schema, live, config)
    return config


def _list(schema: Schema, live: list[Any], config: list[Any]) -> list[Any]:
    had, given_now = fields.entries(schema, live), fields.entries(schema, config)
    if had is None or given_now is None:
        return config
    waiting, result = list(given_now), []
    for key, item in had.items():
        if key not in given_now:
            result.append(item)
        while key in waiting:
            first = waiting.pop(0)
            result.append(dumbly_combined(schema.element, had.get(first), given_now[first]))
    return result + [dumbly_combined(schema.element, had.get(key), given_now[key]) for key in waiting]


TEXTS = st.sampled_from(["", "a", "b", "1"])
MAPS = st.one_of(st.none(), st.dictionaries(st.sampled_from("abc"), st.one_of(TEXTS, st.none()), max_size=3))
PORTS = st.lists(
    st.fixed_dictionaries(
        {"containerPort": st.sampled_from([80, 81])},
        optional={"protocol": st.sampled_from(["TCP", "UDP"]), "name": TEXTS, "hostPort": st.sampled_from([0, 80])},
    ),
    max_size=3,
)
VARIABLES = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from("xyz")},
        optional={
            "value": st.one_of(TEXTS, st.none()),
            "valueFrom": st.sampled_from([None, {"fieldRef": {"fieldPath": "spec.nodeName"}}]),
        },
    ),
    max_size=3,
)
AMOUNTS = st.dictionaries(
    st.sampled_from(["cpu", "memory"]), st.sampled_from(["1", "1000m", 1, "0.5", "1024Mi"]), max_size=2
)
CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["c", "d"])},
        optional={
            "image": st.one_of(TEXTS, st.none()), "ports": st.one_of(PORTS, st.none()), "env": VARIABLES,
            "args": st.lists(TEXTS, max_size=2), "resources": st.fixed_dictionaries({}, optional={"limits": AMOUNTS}),
            "securityContext": st.sampled_from([None, {}, {"runAsUser": None}, {"runAsUser": 0}, {"privileged": True}]),
        },
    ),
    min_size=1,
    max_size=3,
)  # fmt: skip
PODS = st.fixed_dictionaries(
    {"containers": CONTAINERS},
    optional={
        "nodeSelector": MAPS, "hostNetwork": st.booleans(), "tolerations": st.sampled_from([None, [], [{"key": "k"}]]),
        "finalizers": st.just(["x"]), "imagePullSecrets": st.sampled_from([[], [{"name": "s"}, {"name": "t"}]]),
    },
)  # fmt: skip
CONFIGURATIONS = st.fixed_dictionaries(
    {
        "spec": st.fixed_dictionaries(
            {"template": st.fixed_dictionaries({"spec": PODS}, optional={"metadata": st.fixed_dictionaries(
                {}, optional={"labels": MAPS, "finalizers": st.lists(st.sampled_from("fg"), unique=True)})})},
            optional={
                "replicas": st.sampled_from([0, 1, 2.0, None]),
                "strategy": st.sampled_from([None, {}, {"type": "Recreate"}, {"rollingUpdate": {"maxSurge": 1}}]),
                "selector": st.fixed_dictionaries({}, optional={"matchLabels": MAPS}),
            },
        )
    },
    optional={"metadata": st.fixed_dictionaries({}, optional={"labels": MAPS, "annotations": MAPS})},
)  # fmt: skip


def is_typed(config: Json) -> bool:
    try:
        apply.check_keys(SCHEMA, config, "")
    except BadRequest:
        return False
    return True


@settings(max_examples=200, deadline=None)
@given(CONFIGURATIONS.filter(is_typed), CONFIGURATIONS.filter(is_typed))
def test_decoding_the_configuration_alone_is_decoding_the_whole(first: Json, second: Json) -> None:
    live = walks.defaulted(DEPLOYMENT, {"metadata": {"name": "web"}, **first})
    before = copy.deepcopy(live)
    decoded = decoding.decoded(SCHEMA, "Deployment", "v1", second)
    wanted = decoding.decoded(SCHEMA, "Deployment", "v1", dumbly_combined(SCHEMA, live, second))
    made = apply.combined(SCHEMA, live, second, decoded)
    assert made == wanted
    assert walks.filled(DEPLOYMENT, made) == walks.filled(DEPLOYMENT, wanted)
    assert live == before, "filling defaults into the result changes nothing of the live object"
