"""Env files: what they may hold, where they may lie, and the variables that containers get of them."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knarr.base.errors import Invalid
from knarr.cri.messages.enums import Signal
from knarr.kubelet import cri_config, env_files
from tests.unit.kubelet.harness import Node, run
from tests.unit.kubelet.test_pod_plan import pod


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("A='1'", {"A": "1"}),
        ("# a comment\n\n  A='1'  \nB='two words'\r\nA='3'\n", {"A": "3", "B": "two words"}),
        ("A='over\nlines # no comment'\nB=''", {"A": "over\nlines # no comment", "B": ""}),
        ("A.b-c='$x \"y\"'", {"A.b-c": '$x "y"'}),
    ],
)
def test_lines_are_names_and_quoted_values(text: str, found: dict[str, str]) -> None:
    assert env_files.parsed(text) == found


@pytest.mark.parametrize("text", ["A=1", 'A="1"', "A", "A ='1'", "A= '1'", "A='1", "='1'", "A='1' B='2'", "A='1'x"])
def test_anything_else_is_refused_by_its_line(text: str) -> None:
    with pytest.raises(Invalid, match="line 2: wanted NAME='value'"):
        env_files.parsed("OK='1'\n" + text)


@given(st.text(max_size=60))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        assert isinstance(env_files.parsed(text), dict)
    except Invalid:
        return


def test_a_file_is_read_below_its_volume_only(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    (volume / "deep").mkdir(parents=True)
    (volume / "deep" / "a").write_text("A='1'")
    (tmp_path / "outside").write_text("A='2'")
    (volume / "out").symlink_to("../outside")
    os.mkfifo(volume / "pipe")
    (volume / "big").write_bytes(b"#" * (env_files.BYTES_MAX + 1))
    (volume / "binary").write_bytes(b"A='\xff'")
    assert env_files.read(volume, "deep/a") == {"A": "1"}
    assert env_files.read(volume, "absent") is None
    assert env_files.read(tmp_path / "no volume", "a") is None
    for path in ("out", "../outside", "pipe", "big", "binary", "deep"):
        with pytest.raises(Invalid, match="env file"):
            env_files.read(volume, path)


def test_a_container_gets_what_the_file_says(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        def variable(name: str, key: str, **more: Any) -> dict[str, Any]:
            return {"name": name, "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "e", "key": key, **more}}}

        variables = [variable("ONE", "A"), variable("TWO", "B", optional=True)]
        made = await node.create(
            "web", {"containers": [{"name": "c", "env": variables}], "volumes": [{"name": "v", "emptyDir": {}}]}
        )

        async def is_waiting() -> bool:
            statuses = (await node.status("web")).get("containerStatuses", [])
            return bool(statuses) and "not found" in statuses[0]["state"].get("waiting", {}).get("message", "")

        await node.until(is_waiting)
        (node.settings.pod_dir(made["metadata"]["uid"]) / "volumes" / "v" / "e").write_text("A='1'\n")
        await node.reached("web", "Running")
        given_ = {pair.key: pair.value for pair in node.runtime.named("web", "c").config.envs}
        assert (given_.get("ONE"), "TWO" in given_) == (b"1", False)

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("wanted", "signal"),
    [
        (None, Signal.SIGNAL_RUNTIME_DEFAULT),
        ("SIGUSR1", Signal.SIGNAL_SIGUSR1),
        ("SIGRTMIN+3", Signal.SIGNAL_SIGRTMINPLUS3),
        ("SIGRTMAX-2", Signal.SIGNAL_SIGRTMAXMINUS2),
    ],
)
def test_a_container_chooses_its_stop_signal(wanted: str | None, signal: Signal) -> None:
    subject = pod(containers=[{"name": "c", "image": "i", "lifecycle": {"stopSignal": wanted}}])
    assert cri_config.stop_signal(subject.spec.containers[0]) is signal
