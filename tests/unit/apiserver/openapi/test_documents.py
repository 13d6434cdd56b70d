"""OpenAPI: references resolve, kubectl finds what it looks for, the protobuf form says the same as the JSON form."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from knarr.apiserver.openapi import descriptions, documents, gnostic, gnostic_v3
from knarr.apiserver.server import served_kinds
from knarr.kinds.registry import Kind

Json = dict[str, Any]
APPS = [kind for kind in served_kinds() if (kind.group, kind.version) == ("apps", "v1")]
CORE = [kind for kind in served_kinds() if (kind.group, kind.version) == ("", "v1")]


@pytest.fixture(scope="module")
def apps() -> Json:
    return documents.v3(APPS)


@pytest.fixture(scope="module")
def whole() -> Json:
    return documents.v2(served_kinds())


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref" and isinstance(item, str):
                yield item.rpartition("/")[2]
            else:
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_every_reference_of_the_whole_api_resolves(whole: Json) -> None:
    assert set(references(whole)) <= whole["definitions"].keys()


def test_every_reference_of_a_group_resolves(apps: Json) -> None:
    assert set(references(apps)) <= apps["components"]["schemas"].keys()


def test_patch_says_what_it_understands(apps: Json) -> None:
    patch = apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert {each["name"] for each in patch["parameters"]} >= {"dryRun", "fieldManager", "fieldValidation", "force"}
    assert patch["requestBody"]["content"].keys() >= {
        "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    }  # fmt: skip


def test_lists_carry_their_merge_keys(apps: Json) -> None:
    spec = apps["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert spec["x-kubernetes-patch-merge-key"] == "name"
    assert spec["x-kubernetes-patch-strategy"] == "merge"
    assert spec["x-kubernetes-list-map-keys"] == ["name"]
    owners = apps["components"]["schemas"]["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"]
    assert owners["ownerReferences"]["x-kubernetes-patch-merge-key"] == "uid"


def test_fields_are_described() -> None:
    found = descriptions.of("io.k8s.api.apps.v1.DeploymentSpec")
    assert found.text
    assert found.fields["replicas"].startswith("Number of desired pods")
    assert descriptions.of("io.k8s.api.nowhere.v1.Nothing") == descriptions.EMPTY


def test_each_kind_is_found_by_its_group_version_and_kind(whole: Json) -> None:
    found = {
        (each["group"], each["version"], each["kind"])
        for definition in whole["definitions"].values()
        for each in definition.get("x-kubernetes-group-version-kind", ())
    }
    assert found >= {(kind.group, kind.version, kind.kind) for kind in served_kinds() if kind.kind != "Scale"}


def test_the_document_of_one_group_is_built_quickly() -> None:
    kinds: list[Kind] = CORE
    assert len(msgspec.json.encode(documents.v3(kinds))) > 100_000


def messages(content: bytes) -> Iterator[tuple[int, bytes]]:
    """(field number, content) of a protobuf message that has only length-delimited fields and flags."""
    at = 0

    def varint() -> int:
        nonlocal at
        number = shift = 0
        while True:
            byte = content[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    while at < len(content):
        key = varint()
        if key & 7 == 2:
            size = varint()
            yield key >> 3, content[at : at + size]
            at += size
        else:
            assert key & 7 == 0
            varint()


def test_the_protobuf_form_has_the_same_definitions_and_paths(whole: Json) -> None:
    top = dict(messages(gnostic.document(whole)))
    assert top[1] == b"2.0"
    definitions = {dict(messages(each))[1].decode() for _, each in messages(top[9])}
    assert definitions == whole["definitions"].keys()
    paths = {dict(messages(each))[1].decode() for _, each in messages(top[8])}
    assert paths == whole["paths"].keys()


def test_the_protobuf_form_of_v3_has_the_same_schemas_and_paths(apps: Json) -> None:
    top = dict(messages(gnostic_v3.document(apps)))
    assert (top[1], dict(messages(top[2]))) == (b"3.0.0", {1: b"Kubernetes", 6: b"v1.37.0"})
    paths = {dict(messages(each))[1].decode(): dict(messages(each))[2] for _, each in messages(top[4])}
    assert paths.keys() == apps["paths"].keys()
    operations = paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
    assert {number for number, _ in messages(operations)} == {4, 5, 7, 10, 13}
    schemas = dict(messages(top[5]))[1]
    found = {dict(messages(each))[1].decode(): dict(messages(each))[2] for _, each in messages(schemas)}
    assert found.keys() == apps["components"]["schemas"].keys()
    rolling = dict(messages(dict(messages(found["io.k8s.api.apps.v1.RollingUpdateDeployment"]))[1]))
    surge = next(each for _, each in messages(rolling[31]) if dict(messages(each))[1] == b"maxSurge")
    schema = dict(messages(dict(messages(dict(messages(surge))[2]))[1]))
    assert dict(messages(dict(messages(schema[26]))[2])) == {
        1: b"#/components/schemas/io.k8s.apimachinery.pkg.util.intstr.IntOrString"
    }


def test_scalars_are_types_of_their_own(apps: Json, whole: Json) -> None:
    schemas, definitions = apps["components"]["schemas"], whole["definitions"]
    quantity = "io.k8s.apimachinery.pkg.api.resource.Quantity"
    limits = schemas["io.k8s.api.core.v1.ResourceRequirements"]["properties"]["limits"]
    assert limits["additionalProperties"] == {"$ref": f"#/components/schemas/{quantity}"}
    assert schemas[quantity]["oneOf"] == [{"type": "string"}, {"type": "number"}]
    assert definitions[quantity]["type"] == "string"
    moment = definitions["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"]["creationTimestamp"]
    assert moment["$ref"] == "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.Time"


def test_every_schema_says_something(whole: Json) -> None:
    # kubectl explain ends with an error where it meets an empty one.
    assert [name for name, schema in whole["definitions"].items() if not schema] == []


def test_a_schema_keeps_its_extensions_in_protobuf() -> None:
    encoded = gnostic.schema({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"})
    fields = dict(messages(encoded))
    assert dict(messages(fields[22])) == {1: b"array"}
    extension = dict(messages(fields[31]))
    assert extension[1] == b"x-kubernetes-list-type"
    assert dict(messages(extension[2])) == {2: b'"set"\n'}
