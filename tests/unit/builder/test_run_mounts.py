"""Options of `RUN --mount`: their forms, what is refused, and variables in them."""

import pytest

from knarr.builder.dockerfile import run_mounts
from knarr.builder.dockerfile.faults import DockerfileFault
from knarr.builder.dockerfile.instructions import RunMount
from knarr.builder.dockerfile.parser import parse
from knarr.builder.evaluate import SCRATCH, Arguments, evaluate
from knarr.builder.operations import Run


@pytest.mark.parametrize(
    ("text", "kind", "options"),
    [
        ("target=/x", "bind", {"target": "/x"}),
        ("TYPE=Cache,DST=/x", "cache", {"target": "/x"}),
        ("type=bind,from=s,src=/a,destination=/x,rw", "bind",
         {"from": "s", "source": "/a", "target": "/x", "readonly": "false"}),
        ("target=/x,ro=0", "bind", {"target": "/x", "readonly": "false"}),
        ("target=/x,ro,rw=T", "bind", {"target": "/x", "readonly": "false"}),
        ("target=/x,rw,readonly=True", "bind", {"target": "/x", "readonly": "true"}),
        ("target=/x,rw=$W", "bind", {"target": "/x", "readwrite": "$W"}),
        ("type=cache,target=/x,id=i,sharing=LOCKED,mode=0700,uid=1,gid=2", "cache",
         {"target": "/x", "id": "i", "sharing": "locked", "mode": "0700", "uid": "1", "gid": "2"}),
        ("type=tmpfs,target=/x,size=1.5GB", "tmpfs", {"target": "/x", "size": str(3 << 29)}),
        ("type=tmpfs,target=/x,size=64m", "tmpfs", {"target": "/x", "size": str(64 << 20)}),
        ("type=tmpfs,target=/x,size=512MiB", "tmpfs", {"target": "/x", "size": str(512 << 20)}),
        ("type=tmpfs,target=/x,size=4096", "tmpfs", {"target": "/x", "size": "4096"}),
        ("type=secret,source=t,required=1", "secret", {"source": "t", "required": "true"}),
        ("type=secret,id=t,env=T,required", "secret", {"id": "t", "env": "T", "required": "true"}),
        ("type=ssh", "ssh", {}),
        ('"source=a,b",target=/x', "bind", {"source": "a,b", "target": "/x"}),
    ],
)  # fmt: skip
def test_options_have_one_form(text: str, kind: str, options: dict[str, str]) -> None:
    assert run_mounts.read(text) == RunMount(kind, options)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("type=cash,target=/x", "type 'cash' is none of"),
        ("target", "'target' is not KEY=VALUE"),
        ("type=bind", "type=bind needs target"),
        ("target=/x,required", "'required' is no option of type=bind"),
        ("target=/x,mode=755", "'mode' is no option of type=bind"),
        ("target=/x,ro=perhaps", "readonly is true or false, not 'perhaps'"),
        ("target=/x,from=$STAGE", "variables are not put in here"),
        ("type=cache,target=/x,mode=0888", "is not an octal mode"),
        ("type=cache,target=/x,mode=7777777777777", "is not an octal mode"),
        ("type=cache,target=/x,mode=37777777777", "is not an octal mode"),
        ("type=secret,id=a,mode=10000", "is not an octal mode"),
        ("type=cache,target=/x,uid=-1", "uid='-1' is not a number"),
        ("type=cache,target=/x,gid=4294967295", "is not a number"),
        ("type=cache,target=/x,sharing=all", "sharing is shared, private or locked, not 'all'"),
        ("type=tmpfs,target=/x,size=much", "is not a size such as 64m"),
        ("type=tmpfs,target=/x,size=99999999999999999999", "is not a size such as 64m"),
        ("type=secret,required", "type=secret needs id=ID"),
        ("type=secret,id=a,source=b", "takes id or source, not both"),
    ],
)
def test_what_is_no_option_or_value_is_told(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        run_mounts.read(text)


def planned(text: str) -> RunMount:
    step = evaluate(parse(f"FROM scratch\n{text}").stages[0].instructions, SCRATCH, Arguments())[-1]
    assert isinstance(step.operation, Run)
    return step.operation.mounts[0]


@pytest.mark.parametrize(
    ("target", "place"), [("c", "/srv/app/c"), ("./c/../d", "/srv/app/d"), ("/c/", "/c"), ("//c", "/c")]
)
def test_a_relative_target_lies_below_the_working_directory(target: str, place: str) -> None:
    mount = planned(f"WORKDIR /srv\nWORKDIR app\nRUN --mount=type=cache,target={target} x")
    assert mount.options["target"] == place


def test_variables_stand_for_values_and_are_checked_then() -> None:
    mount = planned("ENV D=/c M=0700 W=false\nRUN --mount=type=cache,target=$D/x,mode=${M},rw=$W x")
    assert mount == RunMount("cache", {"target": "/c/x", "mode": "0700", "readonly": "true"})
    with pytest.raises(DockerfileFault, match="Dockerfile:3: --mount: mode='0999' is not an octal mode"):
        planned("ENV M=0999\nRUN --mount=type=cache,target=/x,mode=$M x")


@pytest.mark.parametrize("option", ["uid=$X", "mode=$X", "rw=$X", "sharing=$X"])
def test_a_value_that_holds_a_dollar_when_variables_are_put_in_is_checked_as_well(option: str) -> None:
    with pytest.raises(DockerfileFault, match=r"Dockerfile:3: --mount: .*\$1"):
        planned(f"ARG X='$1'\nRUN --mount=type=cache,target=/x,{option} x")


def test_a_dollar_in_a_place_is_a_character() -> None:
    assert planned("ARG X='$1'\nRUN --mount=type=cache,target=/x/$X x").options["target"] == "/x/$1"


@pytest.mark.parametrize("target", ["/", "/..", "$NOTHING/"])
def test_nothing_is_mounted_over_the_root(target: str) -> None:
    with pytest.raises(DockerfileFault, match="target cannot be /"):
        planned(f"RUN --mount=type=tmpfs,target={target} x")
