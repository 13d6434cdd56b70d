"""Dockerfiles beside what they mean: each folder below files/ has a `Dockerfile` and the `result`.

The result is the plan of all needed stages, or the message for one that cannot be built. `KNARR_REWRITE=1` writes the
results anew; the difference is then to be reviewed.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from knarr.builder import evaluate, graph
from knarr.builder.dockerfile import checks, parser
from knarr.builder.dockerfile.faults import DockerfileFault
from knarr.builder.evaluate import Arguments
from knarr.oci.image_config import ContainerConfig

FILES = Path(__file__).parent / "files"
BASE = ContainerConfig(env=("PATH=/usr/bin:/bin",), cmd=("sh",))
GIVEN = {"GIVEN": "from the command line"}


@pytest.mark.parametrize("folder", sorted(path.name for path in FILES.iterdir()))
def test_a_dockerfile_means_what_its_result_says(folder: str) -> None:
    text = "\n".join(meaning((FILES / folder / "Dockerfile").read_text())) + "\n"
    result = FILES / folder / "result"
    if os.environ.get("KNARR_REWRITE"):
        result.write_text(text)
    assert result.read_text() == text


def meaning(text: str) -> Iterator[str]:
    try:
        parsed = parser.parse(text)
        arguments = Arguments(GIVEN, {"TARGETPLATFORM": "linux/amd64", "TARGETARCH": "amd64"})
        globals_ = evaluate.global_arguments(parsed.arguments, arguments, parsed.escape)
        arguments = Arguments(arguments.given, arguments.platform, globals_)
        configs: dict[int, ContainerConfig] = {}
        for node in graph.needed(parsed, arguments):
            yield f"stage {node.stage.number} {node.stage.name or '-'} from {node.base} needs {sorted(node.needs)}"
            base = configs[node.base] if isinstance(node.base, int) else BASE
            base = evaluate.SCRATCH if node.base == graph.SCRATCH else base
            configs[node.stage.number] = base
            for step in evaluate.evaluate(node.stage.instructions, base, arguments, parsed.escape):
                configs[node.stage.number] = step.config
                if step.operation is not None:
                    yield f"  {step.instruction.place.line}: {step.operation}"
            yield f"  config {msgspec.json.encode(configs[node.stage.number]).decode()}"
        yield from (f"warning {finding}" for finding in checks.check(parsed))
    except DockerfileFault as error:
        yield f"fault {error}"
