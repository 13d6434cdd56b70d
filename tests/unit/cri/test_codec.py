"""Messages to protobuf and back, against Google's library as the judge."""

import contextlib
from typing import Any

import msgspec
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as some

from knarr.base.errors import BadRequest, Invalid, KnarrError, NotFound, Unimplemented
from knarr.cri import codec, rpc
from knarr.cri.messages import config, container, enums, sandbox, stats

_SCALARS = {"double": 1, "int64": 3, "uint64": 4, "int32": 5, "bool": 8, "string": 9, "bytes": 12, "uint32": 13}


def _library() -> dict[str, Any]:
    """The facts table as classes of Google's library."""
    facts = codec.facts()
    file = descriptor_pb2.FileDescriptorProto(name="cri.proto", package="cri", syntax="proto3")
    for name, values in facts["enums"].items():
        enum = file.enum_type.add(name=name)
        for value, number in sorted(values.items(), key=lambda item: item[1]):
            enum.value.add(name=f"{name}_{value}", number=number)
    for name, row in facts["messages"].items():
        message = file.message_type.add(name=name)
        for field, fact in row["fields"].items():
            added = message.field.add(name=field, number=fact["number"], label=3 if fact.get("repeated") else 1)
            kind = fact["type"]
            if kind == "map":
                entry = message.nested_type.add(name="".join(w.capitalize() for w in field.split("_")) + "Entry")
                entry.options.map_entry = True
                for number, (part, of) in enumerate((("key", fact["key"]), ("value", fact["of"])), 1):
                    entry.field.add(name=part, number=number, label=1, type=_SCALARS[of])
                added.label, added.type, added.type_name = 3, 11, f".cri.{name}.{entry.name}"
            elif kind in _SCALARS:
                added.type = _SCALARS[kind]
            else:
                added.type, added.type_name = (14 if kind in facts["enums"] else 11), f".cri.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"cri.{name}")) for name in facts["messages"]
    }


LIBRARY = _library()

FULL = config.PodSandboxConfig(
    metadata=config.PodSandboxMetadata(name="web", uid="u", namespace="default", attempt=7),
    hostname="wëb",
    dns_config=config.DNSConfig(servers=("1.1.1.1",), searches=("a", "b")),
    port_mappings=(config.PortMapping(protocol=enums.Protocol.UDP, container_port=53, host_port=-1),),
    labels={"a": "b", "": ""},
    linux=config.LinuxPodSandboxConfig(
        cgroup_parent="/x",
        security_context=config.LinuxSandboxSecurityContext(
            run_as_user=config.Int64Value(value=0),
            supplemental_groups=(1, 2, 1 << 40),
            namespace_options=config.NamespaceOption(network=enums.NamespaceMode.NODE),
        ),
    ),
)


@pytest.mark.parametrize(
    "message",
    [
        FULL,
        config.PodSandboxConfig(),
        container.ExecSyncResponse(stdout=b"\x00\xff", exit_code=-5),
        container.ExecSyncRequest(cmd=("a", "", "b"), timeout=-1),
        sandbox.PortForwardRequest(port=(80, 443, 2147483647)),
        stats.PsiData(Total=1 << 63, Avg10=0.25),
    ],
)
def test_the_library_reads_what_is_written_and_the_other_way_round(message: msgspec.Struct) -> None:
    kind = type(message)
    library = LIBRARY[kind.__name__]
    parsed = library.FromString(codec.encode(message))
    assert codec.decode(kind, parsed.SerializeToString()) == message
    assert codec.decode(kind, codec.encode(message)) == message


def test_every_message_of_the_services_has_a_type_and_every_field_a_number() -> None:
    for service in codec.facts()["services"]:
        for method in rpc.methods(service):
            for kind in (method.request, method.response):
                assert codec.decode(kind, codec.encode(kind())) == kind()
                known = codec.facts()["messages"][kind.__name__]["fields"]
                assert set(kind.__struct_fields__) <= set(known)


def test_unknown_fields_are_skipped_and_unpacked_numbers_are_read() -> None:
    unknown = b"\xfa\x3e\x03abc" + b"\xf0\x3e\x05" + b"\xf9\x3e" + bytes(8) + b"\xfd\x3e" + bytes(4)
    assert codec.decode(config.DNSConfig, unknown + b"\x0a\x01x") == config.DNSConfig(servers=("x",))
    assert codec.decode(sandbox.PortForwardRequest, b"\x10\x50\x10\x51") == sandbox.PortForwardRequest(port=(80, 81))


@given(some.binary(max_size=60))
def test_any_bytes_are_a_message_or_a_bad_request(content: bytes) -> None:
    with contextlib.suppress(BadRequest):
        codec.decode(config.PodSandboxConfig, content)


def test_every_cut_of_a_message_is_a_message_or_a_bad_request() -> None:
    whole = codec.encode(FULL)
    for length in range(len(whole)):
        with contextlib.suppress(BadRequest):
            codec.decode(config.PodSandboxConfig, whole[:length])


def test_nesting_without_end_is_refused() -> None:
    # Sandbox statuses hold no message of their own type, so depth ends by itself; the bound is for a table that grows.
    with pytest.raises(ValueError, match="nested deeper"):
        codec._decode(config.PodSandboxConfig, b"", codec.DEPTH_MAX + 1)


@pytest.mark.parametrize("error", [NotFound("x"), Invalid("x"), Unimplemented("x")])
def test_errors_come_back_as_they_went(error: KnarrError) -> None:
    assert type(rpc.error_of(rpc.code_of(error), "x")) is type(error)


def test_codes_that_say_nothing_are_plain_errors() -> None:
    assert type(rpc.error_of("UNKNOWN", "x")) is KnarrError
    assert rpc.code_of(KnarrError("x")) == "UNKNOWN"


def test_method_names_are_those_of_the_protocol() -> None:
    names = {method.path.rpartition("/")[2]: method.attribute for method in rpc.methods("RuntimeService")}
    assert names["RunPodSandbox"] == "run_pod_sandbox"
    assert names["GetContainerEvents"] == "get_container_events"
