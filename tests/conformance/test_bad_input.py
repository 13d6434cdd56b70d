"""Hostile requests to a server process over TLS: each is answered 4xx or its connection closed, and nobody else pays.

Nothing is timed in seconds. What others pay is counted in CPU of the server, against a large but decent request in the
same run; what is left behind in descriptors, tasks and resident memory.
"""

import json
import resource
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.conformance import hostile
from tests.conformance.hostile import Process, answer, status

# ruff: noqa: UP031, E501  # JSON is full of braces, so bodies are made with percent signs; a hostile request is a row
pytestmark = pytest.mark.timeout(240)
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
MIB = 1 << 20
APPLY, STRATEGIC = "application/apply-patch+yaml", "application/strategic-merge-patch+json"
JSON_PATCH, YAML = "application/json-patch+json", "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with hostile.running("api", tmp_path_factory.mktemp("hostile")) as process:
        for name in ("keys", "other"):
            content = {f"k{number}": "" for number in range(10_000)}
            body = json.dumps({"metadata": {"name": name, "finalizers": ["a/b"]}, "data": content})
            assert status(asked(process, request("POST", CONFIGMAPS, body))) == 201
        yield process


def request(method: str, target: str, body: str | bytes = b"", media: str = "application/json") -> bytes:
    content = body.encode() if isinstance(body, str) else body
    head = f"{method} {target} HTTP/1.1\r\nHost: h\r\nContent-Type: {media}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def asked(process: Process, message: bytes, user: str = "admin") -> bytes:
    connection = process.dial(user)
    found = answer(connection, message)
    connection.close()
    return found


def pod(spec: str) -> str:
    return '{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}],%s}}' % spec


def many(count: int, text: str) -> str:
    return ",".join(text.replace("#", str(number)) for number in range(count))


BODIES: dict[str, bytes] = {
    "over 3 MiB": request("POST", CONFIGMAPS, b" " * (3 * MIB + 1)),
    "an object over 1.5 MiB": request("POST", CONFIGMAPS, '{"metadata":{"name":"a"},"data":{"a":"%s"}}' % ("x" * 2 * MIB)),
    "depth 101": request("POST", CONFIGMAPS, "[" * 101 + "]" * 101),
    "depth 100,000": request("POST", CONFIGMAPS, '{"a":' * 100_000 + "1" + "}" * 100_000),
    "depth of YAML": request("POST", CONFIGMAPS, "[" * 100_000, YAML),
    "depth of YAML by indentation": request("POST", CONFIGMAPS, "- " * 5000, YAML),
    "a YAML bomb": request(
        "POST", CONFIGMAPS, "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)), YAML),
    "a YAML bomb of merges": request(
        "POST", CONFIGMAPS, "a: &a {x: 1}\n" + "".join(
            f"b{n}: &b{n} {{<<: [{','.join(['*' + ('a' if n == 0 else f'b{n - 1}')] * 9)}]}}\n" for n in range(9)), YAML),
    "an unknown alias": request("POST", CONFIGMAPS, "a: *b", YAML),
    "an alias of itself": request("POST", CONFIGMAPS, "&a [*a]", YAML),
    "a Python object": request("POST", CONFIGMAPS, "!!python/object/apply:os.system [id]", YAML),
    "NaN": request("POST", CONFIGMAPS, '{"metadata":{"name":"a"},"data":NaN}'),
    "Infinity in YAML": request("POST", CONFIGMAPS, "metadata: {name: a, generation: .inf}", YAML),
    "a lone surrogate": request("POST", CONFIGMAPS, '{"metadata":{"name":"a"},"data":{"a":"\\ud800"}}'),
    "a lone surrogate in YAML": request("POST", CONFIGMAPS, 'metadata: {name: "\\ud800"}', YAML),
    "bytes that are no UTF-8": request("POST", CONFIGMAPS, b'{"metadata":{"name":"\xff\xfe"}}'),
    "UTF-16": request("POST", CONFIGMAPS, '{"metadata":{"name":"a"}}'.encode("utf-16")),
    "a duplicate key, strictly": request(
        "POST", CONFIGMAPS + "?fieldValidation=Strict", '{"metadata":{"name":"a"},"data":{"a":"1","a":"2"}}'),
    "10,001 operations": request("PATCH", CONFIGMAPS + "/keys", "[%s]" % many(10_001, '{"op":"test","path":""}'), JSON_PATCH),
    "operations that copy themselves": request(
        "PATCH", CONFIGMAPS + "/keys", "[%s]" % many(9_999, '{"op":"copy","from":"/data","path":"/data/#"}'), JSON_PATCH),
    "operations that nest": request(
        "PATCH", CONFIGMAPS + "/keys", "[%s]" % ",".join(
            '{"op":"add","path":"/data%s","value":{"a":{}}}' % ("/a" * depth) for depth in range(300)), JSON_PATCH),
    "a number of a million digits": request("POST", CONFIGMAPS, '{"metadata":{"name":"a","generation":%s}}' % ("9" * MIB)),
    "a number of a million digits in YAML": request(
        "POST", DEPLOYMENTS, "metadata: {name: a}\nspec: {replicas: %s}" % ("9" * MIB), YAML),
    "a quantity of a million digits": request(
        "POST", PODS, pod('"resources":{"limits":{"cpu":"%s"}}' % ("9" * MIB))),
    "a million lists": request("POST", CONFIGMAPS, '{"a":[%s[]]}' % ("[]," * MIB)),
    "a million containers": request("POST", PODS, '{"metadata":{"name":"p"},"spec":{"containers":[%s{}]}}' % ("{}," * 900_000)),
    "a million values of YAML": request("POST", CONFIGMAPS, "a: [%s1]" % ("1," * MIB), YAML),
    "a million unknown fields": request(
        "POST", CONFIGMAPS + "?fieldValidation=Strict", "{%s}" % many(99_000, '"u#":1')),
    "a million wrong keys": request("POST", CONFIGMAPS, '{"metadata":{"name":"a"},"data":{%s}}' % many(99_000, '"#/":""')),
    "many volumes of one name": request("POST", PODS, pod('"volumes":[%s]' % many(40_000, '{"name":"a"}'))),
    "many owners": request("POST", CONFIGMAPS, '{"metadata":{"name":"a","ownerReferences":[%s]}}' % many(
        15_000, '{"apiVersion":"v1","kind":"Pod","name":"a","uid":"#","controller":true}')),
    "many ordered elements": request("PATCH", CONFIGMAPS + "/keys", (
        '{"metadata":{"$setElementOrder/finalizers":[%s],"finalizers":[%s]}}' % (many(45_000, '"#"'), many(45_000, '"a/#"'))),
        STRATEGIC),
    "an apply of many keys to the limit": request(
        "PATCH", CONFIGMAPS + "/big?fieldManager=m", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"big"},"data":{%s}}'
        % many(90_000, '"#":"1234567"'), APPLY),
    "protobuf of another length": request("POST", CONFIGMAPS, b"k8s\0\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f", PROTOBUF),
    "protobuf envelopes in envelopes": request("POST", CONFIGMAPS, b"k8s\0" + b"\x12\x7f" * 100_000, PROTOBUF),
    "protobuf of no kind": request("POST", CONFIGMAPS, b"k8s\0\x0a\x04\x0a\x02v9", PROTOBUF),
    "an empty body": request("POST", CONFIGMAPS),
    "a body of another media type": request("POST", CONFIGMAPS, "{}", "text/html"),
    "a selector of 30,000 terms": request("GET", f"{CONFIGMAPS}?labelSelector={'a,' * 30_000}a"),
    "30,000 parameters": request("GET", f"{CONFIGMAPS}?{'a&' * 30_000}"),
    "a continue token of nonsense": request("GET", f"{CONFIGMAPS}?limit=1&continue={'A' * 30_000}"),
    "a name of 10,000 letters": request("PUT", f"{CONFIGMAPS}/{'a' * 10_000}", '{"metadata":{"name":"a"}}'),
    "a path that climbs": request("GET", "/api/v1/namespaces/default/configmaps/..%2f..%2fsecrets"),
    "10,000 media types": request("GET", CONFIGMAPS).replace(b"Host", b"Accept: " + b"a/b," * 10_000 + b"\r\nHost", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body_is_refused_and_costs_little_more_than_a_decent_one(name: str, server: Process) -> None:
    """A decent request: a ConfigMap of 10,000 keys, which everybody may write."""
    decent = '{"metadata":{"name":"keys","finalizers":["a/b"]},"data":{%s}}' % many(10_000, '"k#":"v"')
    before = server.cpu_seconds()
    for _ in range(4):
        assert status(asked(server, request("PUT", f"{CONFIGMAPS}/keys", decent))) == 200
    yardstick = (server.cpu_seconds() - before) / 4
    before = server.cpu_seconds()
    found = asked(server, BODIES[name])
    assert 400 <= status(found) < 500, found[:300]
    assert len(found) < MIB
    assert server.cpu_seconds() - before < 30 * max(yardstick, 0.02)


HEAD = b"GET /readyz HTTP/1.1\r\nHost: h\r\n"
POST = b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n" % CONFIGMAPS.encode()
FRAMING: dict[str, bytes] = {
    "a length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 40\r\n\r\n",
    "a list of lengths": POST + b"Content-Length: 0, 0\r\n\r\n",
    "a signed length": POST + b"Content-Length: +0\r\n\r\n",
    "a length in Arabic digits": POST + "Content-Length: ٠\r\n\r\n".encode(),
    "a length past 64 bits": POST + b"Content-Length: 18446744073709551616\r\n\r\n",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a coding after chunked": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a tab in the coding's name": POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "an old version with chunks": POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk of a wrong size": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "a chunk without a size": POST + b"Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n",
    "a chunk size past 64 bits": POST + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\nabc\r\n0\r\n\r\n",
    "a negative chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n",
    "a bare line feed after a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n0\n\n",
    "bare line feeds": HEAD.replace(b"\r\n", b"\n") + b"\n",
    "a bare carriage return": HEAD + b"X: a\rb\r\n\r\n",
    "a folded header": HEAD + b"X: a\r\n b\r\n\r\n",
    "a header without a colon": HEAD + b"X\r\n\r\n",
    "a header of a space": HEAD + b" : x\r\n\r\n",
    "a zero byte": HEAD + b"X: a\0b\r\n\r\n",
    "no host": b"GET /readyz HTTP/1.1\r\n\r\n",
    "two hosts": HEAD + b"Host: i\r\n\r\n",
    "100,000 headers": HEAD + b"a: b\r\n" * 100_000 + b"\r\n",
    "a header of a megabyte": HEAD + b"a: " + b"b" * MIB + b"\r\n\r\n",
    "a target of a megabyte": b"GET /" + b"a" * MIB + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    "a target with a space": b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
    "no version": b"GET /readyz\r\nHost: h\r\n\r\n",
    "version 9": b"GET /readyz HTTP/9.9\r\nHost: h\r\n\r\n",
    "a method that is none": b"G\x01T /readyz HTTP/1.1\r\nHost: h\r\n\r\n",
    "HTTP/2 without negotiation": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0",
    "an upgrade to HTTP/2": HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    "a CONNECT": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: h\r\n\r\n",
    "an expectation of magic": POST + b"Expect: magic\r\nContent-Length: 0\r\n\r\n",
    "no HTTP at all": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\xff" * 1000,
}  # fmt: skip
HARMLESS = {"an upgrade to HTTP/2"}
"""What a server may as well ignore (RFC 9110, 7.8)."""


@pytest.fixture(scope="module")
def framed(server: Process) -> dict[str, Future[bytes]]:
    """All that came back for each framing with a DELETE behind it, of a ConfigMap that nobody else touches.

    The server takes seconds over each farewell, so all happen at once.
    """
    with ThreadPoolExecutor(len(FRAMING)) as pool:
        return {name: pool.submit(_followed, server, name) for name in FRAMING}


def _followed(process: Process, name: str) -> bytes:
    behind = f"behind-{list(FRAMING).index(name)}"
    made = request("POST", CONFIGMAPS, '{"metadata":{"name":"%s"}}' % behind)
    assert status(asked(process, made)) == 201
    if name in HARMLESS:
        return asked(process, FRAMING[name])
    with process.dial() as connection:
        return hostile.everything(connection, FRAMING[name] + request("DELETE", f"{CONFIGMAPS}/{behind}"))


@pytest.mark.parametrize("name", FRAMING)
def test_a_request_that_two_servers_could_read_in_two_ways_is_refused_and_what_follows_is_never_done(
    name: str, server: Process, framed: dict[str, Future[bytes]]
) -> None:
    found = framed[name].result()
    assert status(found) in ({200, 400} if name in HARMLESS else {0, 400, 404, 405, 413, 414, 417, 431, 505}), found[
        :200
    ]
    behind = f"{CONFIGMAPS}/behind-{list(FRAMING).index(name)}"
    assert status(asked(server, request("GET", behind))) == 200
    if name not in HARMLESS:
        assert found.count(b"HTTP/1.1 ") <= 1, found


def test_chunk_extensions_and_trailers_change_nothing(server: Process) -> None:
    body = b'{"metadata":{"name":"chunked"}}'
    chunks = b"%x;a=b;c=d\r\n%b\r\n0\r\nHost: evil\r\nX: y\r\n\r\n" % (len(body), body)
    assert status(asked(server, POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)) == 201


def test_clients_that_say_half_a_sentence_hold_nobody_up(server: Process) -> None:
    """Two hundred of them: without a handshake, with half a head, with half a body, with a body that never comes."""
    starts = [b"", HEAD, POST + b"Content-Length: 100000\r\n\r\n{", POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"]
    descriptors, tasks = server.descriptors(), server.tasks()
    held: list[socket.socket] = []
    for number in range(200):
        connection = server.dial("plain" if number % 5 == 4 else "admin")
        held.append(connection)
        if number % 5 != 4:
            connection.sendall(starts[number % 4])
    before = server.cpu_seconds()
    for _ in range(20):
        assert status(asked(server, request("GET", CONFIGMAPS + "?limit=1"))) == 200
    assert server.cpu_seconds() - before < 5
    for connection in held:
        connection.close()
    assert hostile.left_behind(server, descriptors, tasks) == []


def test_a_client_that_never_reads_its_watch_is_held_back_alone(server: Process) -> None:
    """Forty watchers of everything, none of which reads, while objects of 100 KiB change."""
    descriptors, tasks, memory = server.descriptors(), server.tasks(), server.memory()
    idle = [server.dial() for _ in range(40)]
    for connection in idle:
        connection.sendall(b"GET %s?watch=true&resourceVersion=0 HTTP/1.1\r\nHost: h\r\n\r\n" % CONFIGMAPS.encode())
    for number in range(100):
        body = '{"metadata":{"name":"other","labels":{"n":"%d"}},"data":{"a":"%s"}}' % (number, "x" * 100_000)
        assert status(asked(server, request("PUT", f"{CONFIGMAPS}/other", body))) == 200
    assert server.memory() - memory < 100 * MIB
    for connection in idle:
        connection.close()
    assert hostile.left_behind(server, descriptors, tasks) == []


def test_what_is_left_behind_by_all_of_it_is_nothing(server: Process) -> None:
    """All bodies again and again: after two rounds memory grows no more in at least one of three.

    What leaks grows in every round; what an allocator keeps back, at its own times.
    """
    grown = []
    for turn in range(5):
        descriptors, tasks, memory = server.descriptors(), server.tasks(), server.memory()
        for message in BODIES.values():
            asked(server, message)
        if turn >= 2:
            assert hostile.left_behind(server, descriptors, tasks) == []
            grown.append(server.memory() - memory)
            if grown[-1] < 24 * MIB:
                return
    raise AssertionError(f"memory grew by {grown}")


def test_garbage_instead_of_a_handshake_is_closed(server: Process) -> None:
    descriptors, tasks = server.descriptors(), server.tasks()
    for content in (b"\0" * 1000, b"\x16\x03\x01\xff\xff" + b"A" * 70_000, b"\x80\x2e\x01\0\x02\0", b"SSH-2.0-x\r\n"):
        connection = server.dial("plain")
        found = answer(connection, content) if content else b""
        assert status(found) == 0
        connection.close()
    assert hostile.left_behind(server, descriptors, tasks) == []


def test_a_server_without_descriptors_serves_whom_it_has_and_takes_others_when_there_are_some(server: Process) -> None:
    """More idle connections than it may have files: they cost nothing, and others get in after them."""
    known, message = server.dial(), request("GET", CONFIGMAPS + "?limit=1")

    def cost() -> float:
        before = server.cpu_seconds()
        for _ in range(200):
            assert status(answer(known, message)) == 200
        return server.cpu_seconds() - before

    usual, bounds = cost(), resource.prlimit(server.child.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.child.pid, resource.RLIMIT_NOFILE, (server.descriptors() + 20, bounds[1]))
    try:
        crowd = [server.dial("plain") for _ in range(100)]
        assert cost() < 5 * usual + 0.5
        for connection in crowd:
            connection.close()
        assert hostile.gets_in(server, message)
    finally:
        resource.prlimit(server.child.pid, resource.RLIMIT_NOFILE, bounds)
        known.close()
