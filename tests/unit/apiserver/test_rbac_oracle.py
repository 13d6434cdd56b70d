"""RBAC's index against a dumb reading of the same documents: every binding, every rule, every time.

Worlds of roles and bindings come from a seed and change between questions. KNARR_RBAC_CASES sets how many questions a
run has; `make soak` asks 200,000.
"""

import itertools
import os
import random
from typing import Any

import msgspec

from knarr.apiserver.access import Attributes
from knarr.apiserver.context import User
from knarr.apiserver.rbac import Rbac
from knarr.base.ids import Revision
from knarr.store.memory import MemoryStore
from tests.unit.apiserver.conftest import Asker

Json = dict[str, Any]
CASES = int(os.environ.get("KNARR_RBAC_CASES", "6000"))
SEED = int(os.environ.get("KNARR_RBAC_SEED", "1"))
PER_WORLD = 250

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate", "escalate")
RESOURCES = (("", "pods"), ("", "pods/log"), ("", "pods/exec"), ("", "configmaps"), ("", "secrets"), ("", "nodes"),
             ("", "nodes/proxy"), ("apps", "deployments"), ("apps", "deployments/scale"), ("batch", "jobs"),
             ("extensions", "deployments"))  # fmt: skip
RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1"
RULE_RESOURCES = ("*", "pods", "pods/log", "pods/*", "*/log", "*/scale", "*/*", "deployments", "deployments/scale",
                  "secrets", "configmaps", "nodes", "nodes/proxy", "jobs", "pod", "/log", "")  # fmt: skip
GROUPS = ("", "apps", "batch", "*", "extensions")
NAMESPACES = ("", "n1", "n2")
NAMES = ("", "a", "b", "*")
PATHS = ("/healthz", "/healthz/ping", "/healthzz", "/metrics", "/", "/logs/a/b", "/apis/x")
URLS = ("*", "/healthz", "/healthz/*", "/healthz*", "/metrics", "/", "/*", "/logs/a*", "/apis/*", "**")
LABELS = ("x", "y", "z")
AUTHENTICATED = "system:authenticated"
ACCOUNTS = "system:serviceaccounts"
USERS = (
    User("ann", ("devs", AUTHENTICATED)),
    User("bob", ("ops", AUTHENTICATED)),
    User("devs", (AUTHENTICATED,)),
    User("system:serviceaccount:n1:sa", (ACCOUNTS, f"{ACCOUNTS}:n1", AUTHENTICATED)),
    User("system:serviceaccount:n2:sa", (ACCOUNTS, f"{ACCOUNTS}:n2", AUTHENTICATED)),
    User("system:serviceaccount:n1", ()),
    User("root", ("system:masters",)),
    User("system:anonymous", ("system:unauthenticated",)),
)


# -- the oracle: the documentation of RBAC, sentence by sentence


def may(world: dict[str, list[Json]], user: User, asked: Attributes) -> bool:
    if "system:masters" in user.groups:
        return True
    for binding in world["clusterrolebindings"]:
        if names(binding, user) and allows(cluster_role_rules(world, binding["roleRef"]["name"]), asked):
            return True
    for binding in world["rolebindings"] if asked.namespace else []:
        if binding["metadata"]["namespace"] != asked.namespace or not names(binding, user):
            continue
        ref = binding["roleRef"]
        if ref["kind"] == "ClusterRole":
            rules = cluster_role_rules(world, ref["name"])
        else:
            rules = [
                rule
                for role in world["roles"]
                if role["metadata"] == {"name": ref["name"], "namespace": asked.namespace}
                for rule in role["rules"]
            ]
        if allows(rules, asked):
            return True
    return False


def names(binding: Json, user: User) -> bool:
    """Whether a binding's subjects hold the user; a ServiceAccount without namespace is one of the binding's own."""
    for subject in binding["subjects"]:
        namespace = subject.get("namespace") or binding["metadata"].get("namespace", "")
        if subject["kind"] == "User" and subject["name"] == user.name:
            return True
        if subject["kind"] == "Group" and subject["name"] in user.groups:
            return True
        if subject["kind"] == "ServiceAccount" and user.name == f"system:serviceaccount:{namespace}:{subject['name']}":
            return True
    return False


def cluster_role_rules(world: dict[str, list[Json]], name: str) -> list[Json]:
    """A role's rules; of one that aggregates, those of all whose labels are asked for, until nothing is added."""
    roles = {role["metadata"]["name"]: role for role in world["clusterroles"]}
    if name not in roles:
        return []
    reached, grew = {name}, True
    while grew:
        grew = False
        for holder in list(reached):
            selectors = roles[holder].get("aggregationRule", {}).get("clusterRoleSelectors", [])
            for other, role in roles.items():
                labels = role["metadata"].get("labels", {})
                if other not in reached and any(s["matchLabels"].items() <= labels.items() for s in selectors):
                    reached.add(other)
                    grew = True
    plain = [roles[each] for each in sorted(reached) if "aggregationRule" not in roles[each]]
    return [rule for role in plain for rule in role["rules"]]


def allows(rules: list[Json], asked: Attributes) -> bool:
    for rule in rules:
        if not ("*" in rule["verbs"] or asked.verb in rule["verbs"]):
            continue
        if asked.path:
            for url in rule.get("nonResourceURLs", []):
                if url in ("*", asked.path) or (url.endswith("*") and asked.path.startswith(url.rstrip("*"))):
                    return True
            continue
        if not ("*" in rule.get("apiGroups", []) or asked.group in rule.get("apiGroups", [])):
            continue
        whole = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
        accepted = {"*", whole} | ({f"*/{asked.subresource}"} if asked.subresource else set())
        if not accepted & set(rule.get("resources", [])):
            continue
        if rule.get("resourceNames") and asked.name not in rule["resourceNames"]:
            continue
        return True
    return False


# -- worlds and questions


def some(chance: random.Random, values: tuple[Any, ...], most: int = 3) -> list[Any]:
    return chance.sample(values, chance.randint(1, min(most, len(values))))


def rules(chance: random.Random) -> list[Json]:
    found: list[Json] = []
    for _ in range(chance.randint(0, 3)):
        verbs = some(chance, ("*", *VERBS)) if chance.random() < 0.9 else ["*"]
        if chance.random() < 0.2:
            found.append({"verbs": verbs, "nonResourceURLs": some(chance, URLS)})
            continue
        rule = {"verbs": verbs, "apiGroups": some(chance, GROUPS), "resources": some(chance, RULE_RESOURCES)}
        if chance.random() < 0.3:
            rule["resourceNames"] = some(chance, NAMES[1:])
        found.append(rule)
    return found


def subjects(chance: random.Random, *, is_namespaced: bool) -> list[Json]:
    found: list[Json] = []
    for _ in range(chance.randint(0, 2)):
        match chance.choice(("User", "Group", "ServiceAccount")):
            case "User":
                found.append({"kind": "User", "name": chance.choice(USERS).name})
            case "Group":
                groups = sorted({group for user in USERS for group in user.groups} - {"system:masters"})
                found.append({"kind": "Group", "name": chance.choice(groups)})
            case _:
                namespace = chance.choice(NAMESPACES if is_namespaced else NAMESPACES[1:])
                subject = {"kind": "ServiceAccount", "name": "sa"}
                found.append({**subject, "namespace": namespace} if namespace else subject)
    return found


def cluster_role(chance: random.Random, name: str) -> Json:
    labels = {f"agg/{label}": "true" for label in LABELS if chance.random() < 0.3}
    role: Json = {"metadata": {"name": name, "labels": labels}, "rules": rules(chance)}
    if chance.random() < 0.3:
        selectors = [{"matchLabels": {f"agg/{label}": "true"}} for label in some(chance, LABELS, 2)]
        role["aggregationRule"] = {"clusterRoleSelectors": selectors}
    return role


def binding(chance: random.Random, name: str, namespace: str) -> Json:
    kind = chance.choice(("Role", "ClusterRole")) if namespace else "ClusterRole"
    ref = {"kind": kind, "name": chance.choice(("r0", "r1", "r2", "r3", "absent"))}
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"metadata": metadata, "roleRef": ref, "subjects": subjects(chance, is_namespaced=bool(namespace))}


def made(chance: random.Random) -> dict[str, list[Json]]:
    return {
        "clusterroles": [cluster_role(chance, f"r{number}") for number in range(4)],
        "roles": [
            {"metadata": {"name": f"r{number}", "namespace": namespace}, "rules": rules(chance)}
            for number, namespace in itertools.product(range(3), NAMESPACES[1:])
        ],
        "clusterrolebindings": [binding(chance, f"c{number}", "") for number in range(2)],
        "rolebindings": [
            binding(chance, f"b{number}", namespace)
            for number, namespace in itertools.product(range(3), NAMESPACES[1:])
        ],
    }


def question(chance: random.Random) -> Attributes:
    if chance.random() < 0.15:
        return Attributes(chance.choice(("get", "post", "head")), path=chance.choice(PATHS))
    group, resource = chance.choice(RESOURCES)
    plural, _, subresource = resource.partition("/")
    return Attributes(
        chance.choice(VERBS), group, "v1", plural, subresource, chance.choice(NAMESPACES), chance.choice(NAMES[:3])
    )


def key_of(resource: str, document: Json) -> str:
    namespace = document["metadata"].get("namespace", "")
    return f"/registry/{resource}/{namespace}{'/' if namespace else ''}{document['metadata']['name']}"


async def put(store: MemoryStore, resource: str, document: Json | None, key: str) -> None:
    found = store.get(key)
    expected = Revision(0) if found is None else found.modified
    if document is not None or found is not None:
        await store.write(key, None if document is None else msgspec.json.encode(document), expect=expected)


async def changed(chance: random.Random, store: MemoryStore, world: dict[str, list[Json]]) -> None:
    """One document of the world becomes another, or goes."""
    resource = chance.choice(sorted(world))
    if not world[resource]:
        return
    index = chance.randrange(len(world[resource]))
    old = world[resource].pop(index)
    fresh = None
    if chance.random() < 0.7:
        fresh = made(chance)[resource][0]
        fresh["metadata"] |= {part: old["metadata"][part] for part in ("name", "namespace") if part in old["metadata"]}
        world[resource].append(fresh)
    await put(store, resource, fresh, key_of(resource, old))


async def test_every_decision_is_that_of_the_dumb_reading() -> None:
    asked = allowed = 0
    for seed in itertools.count(SEED):
        chance, store = random.Random(seed), MemoryStore()
        world, rbac = made(chance), Rbac(store)
        for resource, documents in world.items():
            for document in documents:
                await put(store, resource, document, key_of(resource, document))
        for number in range(PER_WORLD):
            if number % 10 == 9:
                await changed(chance, store, world)
            user, attributes = chance.choice(USERS), question(chance)
            wanted = may(world, user, attributes)
            assert rbac.decide(user, attributes).is_allowed is wanted, (seed, number, user, attributes)
            asked, allowed = asked + 1, allowed + wanted
        if asked >= CASES:
            break
    assert 0.1 < allowed / asked < 0.6, "the worlds ask too little"


async def written(chance: random.Random, ask: Asker) -> dict[str, list[Json]]:
    """A world as the API took it: what it refuses is left out."""
    world: dict[str, list[Json]] = {}
    for resource, documents in made(chance).items():
        world[resource] = []
        for document in documents:
            document["metadata"]["name"] += "-x"
            if "roleRef" in document:
                document["roleRef"]["name"] += "-x"
            namespace = document["metadata"].get("namespace", "")
            where = f"{RBAC}/namespaces/{namespace}/{resource}" if namespace else f"{RBAC}/{resource}"
            if (await ask("POST", where, document)).get("kind") != "Status":
                world[resource].append(document)
    return world


def review(user: User, asked: Attributes) -> Json:
    spec: Json = {"user": user.name, "groups": list(user.groups)}
    if asked.path:
        return {"spec": {**spec, "nonResourceAttributes": {"verb": asked.verb, "path": asked.path}}}
    fields = ("verb", "group", "version", "resource", "subresource", "namespace", "name")
    return {"spec": {**spec, "resourceAttributes": {field: getattr(asked, field) for field in fields}}}


def road(asked: Attributes) -> tuple[str, str] | None:
    """(method, target) of a request that asks the question; None when no request does."""
    if asked.path:
        return (asked.verb.upper(), asked.path) if asked.verb == "get" else None
    method = {"get": "GET", "list": "GET", "create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE",
              "deletecollection": "DELETE"}.get(asked.verb)  # fmt: skip
    is_whole = asked.verb in ("list", "create", "deletecollection")
    if method is None or asked.subresource or is_whole is bool(asked.name) or asked.group == "extensions":
        return None
    if (asked.resource == "nodes") is bool(asked.namespace) or (not asked.namespace and asked.verb != "list"):
        return None
    start = f"/apis/{asked.group}/v1" if asked.group else "/api/v1"
    middle = f"/namespaces/{asked.namespace}" if asked.namespace else ""
    return method, f"{start}{middle}/{asked.resource}{'/' + asked.name if asked.name else ''}"


async def test_reviews_and_requests_are_decided_as_the_dumb_reading_says(ask: Asker) -> None:
    """The same by way of the API: a request is answered 403 exactly where the oracle refuses it."""
    for namespace in NAMESPACES[1:]:
        await ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    allowed = refused = 0
    for seed in range(SEED, SEED + 14):
        chance = random.Random(seed)
        ask.server.access = Rbac(ask.server.store)  # the default of a harness allows everything
        for resource in ("clusterroles", "clusterrolebindings"):
            await ask("DELETE", f"{RBAC}/{resource}")
            for namespace in NAMESPACES[1:]:
                await ask("DELETE", f"{RBAC}/namespaces/{namespace}/{resource.removeprefix('cluster')}")
        world = await written(chance, ask)
        for _ in range(150):
            user, attributes = chance.choice(USERS), question(chance)
            wanted = may(world, user, attributes)
            reviewed = await ask("POST", f"{REVIEWS}/subjectaccessreviews", review(user, attributes))
            assert reviewed["status"]["allowed"] is wanted, (seed, user, attributes)
            if (target := road(attributes)) is not None:
                response = await ask.as_user(user).send(*target, {})
                assert (response.status == 403) is not wanted, (seed, user, attributes, response.body)
                allowed, refused = allowed + wanted, refused + (not wanted)
    assert allowed > 20
    assert refused > 20
