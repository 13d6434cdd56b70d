"""Targets of the API server: bodies, patches, selectors, queries, tokens, certificates, and whole requests."""
# ruff: noqa: E501  # a target is a row

import asyncio
import base64
import functools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from knarr.apiserver import negotiation, tokens
from knarr.apiserver.audit import policy
from knarr.apiserver.context import User, parsed_query
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.server import ApiServer
from knarr.base import clock
from knarr.kinds import cron, field_selectors, registry, schemas, walks
from knarr.kinds.core_pod import POD
from knarr.objects import apply, labels, managed, patches, quantity
from knarr.objects.apply import Applied
from knarr.objects.managed import Writer
from knarr.store.memory import MemoryStore
from knarr.wire import certificate, http, signing, strict_json, strict_yaml
from knarr.wire.protobuf import Decoder
from tests.fuzz.target import Target, field, text

POD_JSON: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "labels": {"a": "b"}, "finalizers": ["a/b"]},
    "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}], "env": [{"name": "A"}]}]},
}
POD_BYTES = json.dumps(POD_JSON).encode()
POD_YAML = b"""apiVersion: v1
kind: Pod
metadata: &m {name: p, labels: {a: "b", <<: {c: yes}}}
spec:
  containers:
  - {name: c, image: i, ports: [{containerPort: 0o17}]}  # comment
  - name: d
    args: [|, 'x', "\\u00e9", ~, 1e3, .5, 2001-01-01]
status: *m
"""
PROTOBUF = bytes.fromhex(
    "6b3873000a150a07617070732f7631120a4465706c6f796d656e7412ba010a1f0a0377656212001a0022002a003200380042"
    "005a0a0a0361707012037765621288010803120c0a0a0a0361707012037765621a6e0a1c0a0012001a0022002a0032003800"
    "42005a0a0a036170701203776562124e12300a056e67696e7812076e67696e783a312a00320a0a001000185022002a004200"
    "6a007200800100880100900100a201001a00320042004a0052005800600068008201008a01009a0100c2010022020a002800"
    "38001a0c0800100018002000280038001a002200"
)
PODS = "/api/v1/namespaces/default/pods"
ADMIN = User("admin", ("system:masters",))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST_DER = base64.b64decode(
    "MIHTMHwCAQAwGjEMMAoGA1UEAwwDYW5uMQowCAYDVQQKDAFkMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFhrGjRhSSuibtYUW"
    "iEFJqv0gT6isDxjiPgbzjWAwa4GoLkwXtwFOy/2m+rAo6jqK8PVWu7BHEBeXQR5riQPa+aAAMAoGCCqGSM49BAMCA0cAMEQCIBvw"
    "/UnmJmZFO7vWdG24PYlcaer0NOUSwVIT0mmUgWs+AiBB8UrFOWl0hWYPGgC6hEiJwrj4AX7DLGHlhV/Ye99XgQ=="
)
"""Asked for by the user ann of the group d. Written down, so that a seed names the same inputs in every run."""
CLIENT_DER = base64.b64decode(
    "MIIBkTCCATagAwIBAgIUMT3gfepm+aM0si3B9D3VjRgWFzswCgYIKoZIzj0EAwIwDTELMAkGA1UEAwwCY2EwHhcNMjUxMjMxMjM1"
    "NTAwWhcNMjcwMTAxMDAwMDAwWjArMQ0wCwYDVQQKDARkZXZzMQwwCgYDVQQKDANvcHMxDDAKBgNVBAMMA2FubjBZMBMGByqGSM49"
    "AgEGCCqGSM49AwEHA0IABLHrOkJzM1HzcnAp716OIIXpC3cvsNs7kr0AXGzKFR2/fRRrdDICPW3O2DMpOWNEpyqFHkLjQRn99f68"
    "L2ycGVSjVjBUMAwGA1UdEwEB/wQCMAAwDgYDVR0PAQH/BAQDAgeAMBMGA1UdJQQMMAoGCCsGAQUFBwMCMB8GA1UdIwQYMBaAFAyR"
    "+s5CwPGSHFSlaaJParAN2OjoMAoGCCqGSM49BAMCA0kAMEYCIQDTB1eWcpKMUXNuNha0s0zi2sIarep1zj0dHAv08miKyQIhAPIm"
    "/3KOsjp/6dZTNQVW25zBXkbhZoVyxbAKtxvBrfUl"
)
"""The certificate of ann, of the groups devs and ops."""


class AnsweredByAFault(Exception):
    """The server answered 5xx."""


@functools.cache
def decoder() -> Decoder:
    return Decoder(registry.facts("types")["types"])


@functools.cache
def live() -> Any:
    return walks.defaulted(POD, POD_JSON)


@functools.cache
def pipeline() -> Pipeline:
    made = Pipeline(ApiServer(MemoryStore()))
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    asyncio.run(asked(made, "POST", "/api/v1/namespaces", b'{"metadata":{"name":"default"}}'))
    asyncio.run(asked(made, "POST", "/api/v1/namespaces/default/serviceaccounts", json.dumps(account).encode()))
    asyncio.run(asked(made, "POST", PODS, POD_BYTES))
    return made


async def asked(made: Pipeline, method: str, target: str, body: bytes, media: str = "application/json") -> int:
    path, _, query = target.partition("?")
    headers = (("content-type", media), ("accept", "application/json"))
    response = await made.handle_as(http.Request(method, path, query, headers, body), ADMIN)
    if not isinstance(response.body, bytes) and hasattr(response.body, "aclose"):
        await response.body.aclose()
    if response.status >= 500 and response.status != 504:  # 504: a revision of the future, as upstream
        raise AnsweredByAFault(response.body)
    return response.status


def answered(method: str, target: str, value: Any, media: str = "application/json") -> int:
    return asyncio.run(asked(pipeline(), method, target, json.dumps(value).encode(), media))


def request_line(content: bytes) -> int:
    target = content.decode("latin-1")
    return asyncio.run(asked(pipeline(), "GET", target if target.startswith("/") else f"{PODS}?{target}", b""))


def headers(content: bytes) -> None:
    fields = tuple(
        (name.strip().lower(), value) for name, _, value in map(_split, content.decode("latin-1").split("\n"))
    )
    request = http.Request("GET", PODS, "", fields, b"")
    response = asyncio.run(_handled(pipeline(), request))
    if response.status >= 500:
        raise AnsweredByAFault(response.body)


async def _handled(made: Pipeline, request: http.Request) -> http.Response:
    response = await made.handle_as(request, ADMIN)
    return response if isinstance(response.body, bytes) else http.Response(response.status)


def _split(line: str) -> tuple[str, str, str]:
    return line.partition(":")


def body(method: str, target: str, media: str) -> Any:
    return lambda content: asyncio.run(asked(pipeline(), method, target, content, media))


def strategic(content: bytes) -> object:
    return patches.strategic_merge_patch(schemas.of(POD), live(), strict_json.decode(content))


def applied(content: bytes) -> object:
    value = strict_json.decode(content)
    if not isinstance(value, dict):
        return None  # what is no object is refused before it comes here
    config = walks.decoded(POD, value | {"metadata": {"name": "p"}})
    return apply.merged(schemas.of(POD), live(), Applied(config, Writer("m", "v1"), is_forced=True, now="t"))


def managed_fields(content: bytes) -> object:
    new = {**POD_JSON, "metadata": {**POD_JSON["metadata"], "managedFields": strict_json.decode(content)}}
    return managed.tracked(schemas.of(POD), new, live(), Writer("m", "v1"), "t")


@functools.cache
def token_server() -> tokens.Tokens:
    from cryptography.hazmat.primitives.asymmetric import ec

    return tokens.Tokens(lambda: ec.generate_private_key(ec.SECP256R1()), MemoryStore(), NOW.timestamp)


def request_pem(der: bytes) -> bytes:
    body = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE REQUEST-----\n%b-----END CERTIFICATE REQUEST-----\n" % body


def cron_times(content: str) -> object:
    return cron.latest(cron.parse(content), NOW, NOW + timedelta(days=2))


OPERATIONS = b'[{"op":"add","path":"/spec/containers/-","value":{"name":"d"}},{"op":"copy","from":"/spec","path":"/x"},' \
    b'{"op":"test","path":"/metadata/name","value":"p"},{"op":"move","from":"/metadata/labels/a","path":"/metadata/labels/b"}]'  # fmt: skip
STRATEGIC_SEED = (
    b'{"metadata":{"$deleteFromPrimitiveList/finalizers":["a/b"],"labels":null,"$retainKeys":["labels"]},"spec":{'
    b'"$setElementOrder/containers":[{"name":"c"}],"containers":[{"name":"c","$patch":"delete"},{"name":"d","image":"i"}]}}'
)
DIRECTIVES = (
    b'"$patch":"replace"',
    b'"$retainKeys":[]',
    b'"$setElementOrder/a":[1]',
    b"null",
    b"{}",
    b"[]",
    b'""',
    b"$patch",
)
FIELDS = (
    b'[{"manager":"m","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1",'
    b'"fieldsV1":{"f:spec":{"f:containers":{"k:{\\"name\\":\\"c\\"}":{".":{},"f:image":{}}}},"f:metadata":{"f:finalizers":'
    b'{"v:\\"a/b\\"":{}}}}}]'
)
SELECTOR = b"a,!b,c=d,e!=f,g in (h,i),j notin (k),l==m"
POLICY = b"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n  verbs: [get]\n  resources: [{group: '', resources: [pods/*]}]\n"
DEEP = base64.urlsafe_b64encode(b'{"v":"meta.k8s.io/v1","x":' + b"[" * 5000)
TOKEN = b"eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.eyJhdWQiOlsiYSJdLCJleHAiOjF9." + b"A" * 86
JSON_WORDS = (b"{}", b"[]", b"null", b"1e999", b"-0", b'"\\ud800"', b"NaN", b"[[[[[[[[", b'{"a":', b"\xef\xbb\xbf")

TARGETS = (
    Target("JSON", strict_json.decode_reporting, (POD_BYTES, OPERATIONS), JSON_WORDS),
    Target("YAML", strict_yaml.decode_all, (POD_YAML, b"- a\n- - b\n", b"a: |-\n  b\n---\n? c\n: d\n"),
           (b"&a ", b"*a", b"<<: ", b"!!binary ", b"!!str ", b"---\n", b"? ", b"- ", b"|", b">-", b"\t", b"{", b"]", b"%TAG")),
    Target("protobuf", lambda content: decoder().decode(content), (PROTOBUF,), (b"k8s\0", b"\x0a", b"\x12\x7f", b"\xff" * 10)),
    Target("quantity", text(quantity.canonical), (b"1500m", b"1.5Gi", b"-1e3", b"+.5Ki", b"0"), (b"e", b"E9", b"Mi", b"n", b".")),
    Target("label selector", text(lambda found: labels.parse(found).matches({"a": "b"})), (SELECTOR,),
           (b" in ", b" notin ", b"(", b")", b",", b"!", b"==", b"<", b">")),
    Target("field selector", text(lambda found: field_selectors.parse(POD, found)),
           (b"metadata.name=a,spec.nodeName!=b,status.phase==Running",), (b"\\,", b"=", b"!=", b",")),
    Target("query", text(parsed_query), (b"limit=1&labelSelector=a%3Db&watch",), (b"%", b"%zz", b"&", b"=", b"+", b"%ff")),
    Target("Accept", field(negotiation.accepted),
           (b"application/json;as=Table;v=v1;g=meta.k8s.io,application/json;q=0.5,*/*",), (b";", b",", b"q=", b"as=", b"=", b"*")),
    Target("cron", text(cron_times), (b"*/5 1-3,7 * JAN-mar mon", b"@every 1h30m", b"@daily", b"TZ=UTC 0 0 31 2 *"),
           (b"*", b"/", b"-", b",", b"?", b"@", b"0", b"99", b"CRON_TZ=")),
    Target("RFC 3339", text(clock.parse_rfc3339), (b"2026-01-01T00:00:00.123456Z", b"2026-01-01T00:00:00+01:00"), (b"T", b"Z", b"+", b"0001-01-01T00:00:00+23:59"),
           refuses=(ValueError,)),
    Target("strategic merge patch", strategic, (STRATEGIC_SEED, POD_BYTES), DIRECTIVES),
    Target("merge patch", lambda content: patches.merge_patch(live(), strict_json.decode(content)), (POD_BYTES,), JSON_WORDS),
    Target("JSON patch", lambda content: patches.json_patch(live(), strict_json.decode(content)), (OPERATIONS,),
           (b'"op":"remove"', b'"path":""', b'"/-"', b"/~0", b"/~1", b"/0", b"/-1", b'"from":""', b"null")),
    Target("applied configuration", applied, (POD_BYTES,), DIRECTIVES),
    Target("managedFields", managed_fields, (FIELDS,), (b'"f:a":{}', b'"k:{}":{}', b'"v:1":{}', b'"i:0":{}', b'".":{}', b"{}", b"1")),
    Target("ServiceAccount token", field(lambda token: token_server().check(token, ["a"])), (TOKEN, DEEP + b"." + DEEP + b"." + b"A" * 86), (b".", b"..", b"=", b"e30")),
    Target("certificate request", signing.asked, (request_pem(REQUEST_DER),), (b"-----BEGIN ", b"-----END ", b"\n", b"=")),
    Target("certificate request, decoded", lambda content: signing.asked(request_pem(content)), (REQUEST_DER,),
           (b"\x30\x80", b"\x84\xff\xff\xff\xff", b"\x06\x03\x55\x1d\x11", b"\x0c")),
    Target("client certificate", certificate.subject, (CLIENT_DER,), (b"\x30\x80", b"\x84\xff\xff\xff\xff"), refuses=(ValueError,)),
    Target("audit policy", policy.parsed, (POLICY,), (b"level: None", b"rules:", b"- ", b"omitStages", b"[", b"null")),
    Target("a request's path and query", request_line,
           (b"/api/v1/namespaces/default/pods/p/status", b"/apis/apps/v1/deployments?limit=1", b"/openapi/v3/api/v1",
            b"/readyz/ping?verbose", b"/api/v1/nodes/n/proxy/a?b", b"continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ&limit=1",
            b"resourceVersion=1&resourceVersionMatch=Exact", b"limit=1&continue=" + DEEP, b"fieldSelector=metadata.name=p&labelSelector=a"),
           (b"/", b"//", b"%2f", b"..", b"?", b"&", b"=", b"limit=", b"continue=", b"%00", b"watch=1&timeoutSeconds=1")),
    Target("a request's headers", headers,
           (b"accept:application/json;as=Table;g=meta.k8s.io;v=v1\nimpersonate-user:a\nimpersonate-extra-b%2f:c",
            b"accept-encoding:gzip;q=0\nif-none-match:*\nuser-agent:a/b"),
           (b":", b"\n", b"impersonate-group:", b"impersonate-uid:", b",", b";", b"q=")),
    Target("a created object", body("POST", f"{PODS}?dryRun=All", "application/json"), (POD_BYTES,), JSON_WORDS),
    Target("a created object of YAML", body("POST", f"{PODS}?dryRun=All", "application/yaml"), (POD_YAML,), ()),
    Target("a created object of protobuf", body("POST", "/apis/apps/v1/namespaces/default/deployments?dryRun=All",
           "application/vnd.kubernetes.protobuf"), (PROTOBUF,), (b"\x0a", b"\x12\x00", b"\xff" * 9)),
    Target("an applied body", body("PATCH", f"{PODS}/p?dryRun=All&fieldManager=m&force=true", "application/apply-patch+yaml"),
           (POD_BYTES, POD_YAML), DIRECTIVES),
    Target("a patch's body", body("PATCH", f"{PODS}/p?dryRun=All", "application/json-patch+json"), (OPERATIONS,), JSON_WORDS),
    Target("options of a deletion", body("DELETE", f"{PODS}/p?dryRun=All", "application/json"),
           (b'{"gracePeriodSeconds":1,"propagationPolicy":"Orphan","preconditions":{"uid":"a","resourceVersion":"1"}}',), JSON_WORDS),
)  # fmt: skip
