"""Image configuration: null is absent, bytes are deterministic, chain ids follow the specification."""

import json

import pytest

from knarr.base.errors import BadRequest, Invalid
from knarr.oci import image_config
from knarr.oci.digest import Digest
from knarr.oci.image_config import ContainerConfig, Healthcheck, History, ImageConfig, RootFs

A, B, C = (Digest("sha256:" + letter * 64) for letter in "abc")


def test_dockers_null_members_are_absent() -> None:
    text = {
        "architecture": "amd64",
        "config": {"Cmd": None, "Env": ["A=b"], "ExposedPorts": {"80/tcp": {}}, "OnBuild": None, "Healthcheck": None},
        "rootfs": {"type": "layers", "diff_ids": None},
        "history": None,
        "container_config": {"Hostname": "x"},
    }
    assert image_config.parse(json.dumps(text).encode()) == ImageConfig(
        architecture="amd64", config=ContainerConfig(env=("A=b",), exposed_ports={"80/tcp": {}})
    )


def test_what_is_encoded_is_read_back_and_the_same_each_time() -> None:
    config = ImageConfig(
        created="2020-01-01T00:00:00Z",
        architecture="arm64",
        variant="v8",
        config=ContainerConfig(
            user="1000:2000",
            on_build=("RUN x",),
            stop_signal="SIGQUIT",
            working_dir="/w",
            volumes={"/v": {}},
            healthcheck=Healthcheck(test=("CMD", "x"), start_period=5, retries=3),
        ),
        rootfs=RootFs(diff_ids=(A,)),
        history=(History(created_by="COPY"), History(created_by="ENV", empty_layer=True)),
    )
    body = image_config.encode(config)
    assert image_config.parse(body) == config
    assert image_config.encode(image_config.parse(body)) == body
    members = json.loads(body)
    assert members["config"]["Healthcheck"] == {"Test": ["CMD", "x"], "StartPeriod": 5, "Retries": 3}
    assert members["config"]["OnBuild"] == ["RUN x"]


def test_required_members_are_written_when_empty() -> None:
    assert json.loads(image_config.encode(ImageConfig())) == {
        "architecture": "",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": []},
    }


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'"x"', b'{"config":[]}', b'{"rootfs":{"diff_ids":["x"]}}', b'{"config":{"Env":"x"}}']
)
def test_a_broken_configuration_is_refused(body: bytes) -> None:
    with pytest.raises((BadRequest, Invalid)):
        image_config.parse(body)


def test_chain_ids_are_those_of_the_specification() -> None:
    # The vectors of the image specification's reference implementation (identity.ChainID).
    assert image_config.chain_id(()) == ""
    assert image_config.chain_id((A,)) == A
    second = image_config.chain_id((A, B))
    assert image_config.chain_id((A, B, C)) == image_config.chain_id((Digest(second), C))
