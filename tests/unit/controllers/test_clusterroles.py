"""Aggregated ClusterRoles get the rules of those that they select."""

from datetime import UTC, datetime

import msgspec

from knarr.base.ids import Revision
from knarr.client.cache import Cache
from knarr.controllers import clusterroles
from knarr.controllers.controller import Patch
from knarr.kinds.lens.rbac import ClusterRole
from knarr.kinds.rbac import CLUSTERROLE

NOW = datetime(2030, 1, 1, tzinfo=UTC)
READ = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
PATH = {"verbs": ["get"], "nonResourceURLs": ["/metrics"]}


def view(*rules_of_all: dict[str, object]) -> Cache:
    cache = Cache([CLUSTERROLE])
    selector = {"matchLabels": {"to": "all"}}
    roles = [
        {"metadata": {"name": "all", "resourceVersion": "7", "labels": {"to": "all"}},
         "aggregationRule": {"clusterRoleSelectors": [selector]}, "rules": list(rules_of_all)},
        {"metadata": {"name": "b", "labels": {"to": "all"}}, "rules": [PATH, READ]},
        {"metadata": {"name": "a", "labels": {"to": "all"}}, "rules": [READ]},
        {"metadata": {"name": "other"}, "rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]},
    ]  # fmt: skip
    cache.replace(CLUSTERROLE, [msgspec.json.encode(role) for role in roles], Revision(1))
    return cache


def role_of(cache: Cache) -> ClusterRole:
    found = cache.get(ClusterRole, "", "all")
    assert found is not None
    return found


def test_the_selected_roles_rules_are_united_once_each() -> None:
    cache = view()

    (patch,) = clusterroles.plan(role_of(cache), cache, NOW).actions

    assert isinstance(patch, Patch)
    assert msgspec.json.decode(msgspec.json.encode(patch.body)) == {
        "metadata": {"resourceVersion": "7"},
        "rules": [READ, PATH],
    }


def test_what_is_united_already_is_left_alone() -> None:
    cache = view(READ, PATH)

    assert list(clusterroles.plan(role_of(cache), cache, NOW).actions) == []
