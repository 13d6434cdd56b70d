"""`knarr build --call`: what a Dockerfile says, without building it: its warnings, its targets, its arguments.

Needs no running node: everything here is read from the text.
"""

import argparse
import json
from typing import Any

from knarr.base.errors import Invalid
from knarr.builder.dockerfile import checks, ignore, parser, rules_from
from knarr.builder.dockerfile.findings import Finding, undefined_variable
from knarr.builder.dockerfile.instructions import Arg, Run
from knarr.builder.dockerfile.parser import Dockerfile, Stage
from knarr.builder.evaluate import SCRATCH, Arguments, evaluate, global_arguments
from knarr.builder.graph import SCRATCH as SCRATCH_NAME
from knarr.builder.graph import find_stage
from knarr.cli.printing import EXIT_FAILED, EXIT_USAGE, Failure, show, table
from knarr.oci.image_config import ContainerConfig

CALLS = ("check", "lint", "outline", "targets")


def answer(arguments: argparse.Namespace, text: str, file: str, ignored: str) -> int:
    """Print what is asked; 1 where `check` finds something."""
    call, _, wanted = arguments.call.partition(",")
    if call not in CALLS or wanted not in ("", "format=json", "format=text"):
        raise Failure(f"--call {arguments.call!r} is not known", f"it is one of {', '.join(CALLS)}", "", EXIT_USAGE)
    dockerfile = parser.parse(text, file)
    is_json = wanted == "format=json"
    if call in ("check", "lint"):
        return _check(dockerfile, ignored, is_json=is_json)
    found = targets(dockerfile) if call == "targets" else outline(dockerfile, arguments.target)
    show(json.dumps(found, indent=2) if is_json else _printed(call, found))
    return 0


def _check(dockerfile: Dockerfile, ignored: str, *, is_json: bool) -> int:
    patterns = ignore.read(ignored, ".dockerignore")
    found = checks.findings(dockerfile, patterns.excludes if ignored else None)
    found += undefined(dockerfile)
    found.sort(key=lambda finding: finding.place.line)
    if is_json:
        rows = [{"ruleName": f.rule, "url": f.url, "detail": f.text, "line": f.place.line} for f in found]
        show(json.dumps({"warnings": rows}, indent=2))
        return EXIT_FAILED if found else 0
    for finding in found:
        show(f"{finding}\n  {finding.place.line} | {finding.place.text}\n  {finding.url}")
    if not found:
        show("Check complete, no warnings found.")
        return 0
    show(f"Check complete, {len(found)} warning{'s have' if len(found) > 1 else ' has'} been found!")
    return EXIT_FAILED


def undefined(dockerfile: Dockerfile) -> list[Finding]:
    """Variables that nothing sets, in stages that begin with nothing; another base's environment is not known here.

    Raises DockerfileFault for instructions that cannot be evaluated.
    """
    platform = dict.fromkeys(rules_from.PLATFORM_ARGUMENTS, "x")
    arguments = Arguments({}, platform, global_arguments(dockerfile.arguments, Arguments(), dockerfile.escape))
    chosen = checks.directive(dockerfile)
    configs: dict[int, ContainerConfig] = {}
    rooted: set[int] = set()
    found = []
    for stage in dockerfile.stages:
        below = find_stage(dockerfile.stages[: stage.number], stage.base.image)
        if stage.base.image == SCRATCH_NAME or below in rooted:
            rooted.add(stage.number)
        # `${x:?…}` may be satisfied by an environment that is not known.
        known = [i for i in stage.instructions if stage.number in rooted or "?" not in i.text]
        base = SCRATCH if below is None else configs[below]
        steps = evaluate(known, base, arguments, dockerfile.escape)
        configs[stage.number] = steps[-1].config if steps else base
        if stage.number in rooted and chosen.keeps("UndefinedVar"):
            found += [undefined_variable(step.instruction.place, *each) for step in steps for each in step.undefined]
    return found


def targets(dockerfile: Dockerfile) -> dict[str, Any]:
    """The stages that --target can name; the last is the default."""
    last = dockerfile.stages[-1].number
    return {
        "targets": [
            {"name": stage.name, "base": stage.base.image, "default": stage.number == last}
            for stage in dockerfile.stages
        ]
    }


def outline(dockerfile: Dockerfile, target: str) -> dict[str, Any]:
    """The arguments, secrets and agents that a target takes, with those of the stages below it."""
    number = find_stage(dockerfile.stages, target) if target else len(dockerfile.stages) - 1
    if number is None:
        raise Invalid(f"there is no stage {target!r} for --target")
    stages = _chain(dockerfile, dockerfile.stages[number])
    instructions = [instruction for stage in stages for instruction in stage.instructions]
    arguments = [*dockerfile.arguments, *(i for i in instructions if isinstance(i, Arg))]
    mounts = [mount for i in instructions if isinstance(i, Run) for mount in i.mounts]
    return {
        "name": dockerfile.stages[number].name,
        "args": [{"name": name, "value": value or ""} for arg in arguments for name, value in arg.pairs],
        "secrets": [_mount(mount.options) for mount in mounts if mount.type == "secret"],
        "ssh": [_mount(mount.options) for mount in mounts if mount.type == "ssh"],
    }


def _chain(dockerfile: Dockerfile, stage: Stage) -> list[Stage]:
    """The stage and the stages that it is built on."""
    chain = [stage]
    while (below := find_stage(dockerfile.stages[: chain[-1].number], chain[-1].base.image)) is not None:
        chain.append(dockerfile.stages[below])
    return chain[::-1]


def _mount(options: dict[str, str]) -> dict[str, Any]:
    name = options.get("id") or options.get("target", "").rpartition("/")[2] or "default"
    return {"name": name, "required": options.get("required", "false") == "true"}


def _printed(call: str, found: dict[str, Any]) -> str:
    if call == "targets":
        rows = [[t["name"] or "-", t["base"], "default" if t["default"] else ""] for t in found["targets"]]
        return table(["TARGET", "BASE", ""], rows)
    parts = [f"TARGET: {found['name'] or 'default'}"]
    if found["args"]:
        parts.append(table(["BUILD ARG", "VALUE"], [[arg["name"], arg["value"]] for arg in found["args"]]))
    for key, title in (("secrets", "SECRET"), ("ssh", "SSH")):
        if found[key]:
            parts.append(table([title, "REQUIRED"], [[m["name"], str(m["required"]).lower()] for m in found[key]]))
    return "\n\n".join(parts)
