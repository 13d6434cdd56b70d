"""From instructions to planned steps: variables, configuration and operations."""

import pytest

from knarr.builder.dockerfile import parser
from knarr.builder.dockerfile.faults import DockerfileFault
from knarr.builder.evaluate import DEFAULT_PATH, Arguments, PlannedStep, evaluate, global_arguments
from knarr.builder.operations import SCRIPT_PATH, CopyFiles, MakeDirectory, Run
from knarr.oci.image_config import ContainerConfig

BASE = ContainerConfig(env=("PATH=/bin",), cmd=("sh",), working_dir="/w")


def steps(text: str, base: ContainerConfig = BASE, **given: str) -> list[PlannedStep]:
    stage = parser.parse(f"FROM base\n{text}\n").stages[0]
    return evaluate(stage.instructions, base, Arguments(given=given))


def config(text: str, **given: str) -> ContainerConfig:
    return steps(text, **given)[-1].config


def run(text: str, **given: str) -> Run:
    operation = steps(text, **given)[-1].operation
    assert isinstance(operation, Run)
    return operation


def copy(text: str) -> CopyFiles:
    operation = steps(text)[-1].operation
    assert isinstance(operation, CopyFiles)
    return operation


def test_env_sees_what_held_before_its_own_line() -> None:
    assert config("ENV A=1\nENV A=2 B=$A C=${D:-d}").env == ("PATH=/bin", "A=2", "B=1", "C=d")


def test_env_beats_arg_and_a_build_argument_beats_its_default() -> None:
    assert run("ARG A=1\nARG B=2\nENV B=env\nRUN x", A="given").env == ("PATH=/bin", "A=given", "B=env")


def test_a_build_argument_nobody_declared_is_not_seen() -> None:
    assert run("RUN x", A="given").env == ("PATH=/bin",)


def test_proxy_arguments_are_seen_by_run_but_belong_to_no_key() -> None:
    operation = run("RUN x", HTTP_PROXY="http://p")
    assert (operation.env, operation.hidden_env) == (("PATH=/bin",), ("HTTP_PROXY=http://p",))


def test_a_run_without_path_gets_the_default_one() -> None:
    operation = steps("RUN x", ContainerConfig())[-1].operation
    assert isinstance(operation, Run)
    assert operation.env == (f"PATH={DEFAULT_PATH}",)


def test_a_new_entrypoint_forgets_the_bases_command_but_not_the_files_own() -> None:
    assert config('ENTRYPOINT ["e"]').cmd == ()
    assert config('CMD ["c"]\nENTRYPOINT ["e"]').cmd == ("c",)


def test_shell_changes_later_commands() -> None:
    assert run('SHELL ["/bin/bash", "-c"]\nRUN x y').arguments == ("/bin/bash", "-c", "x y")


def test_workdir_joins_and_makes_a_directory() -> None:
    planned = steps("WORKDIR sub/../b")[-1]
    assert (planned.config.working_dir, planned.operation) == ("/w/b", MakeDirectory("/w/b"))


@pytest.mark.parametrize(
    ("text", "sources", "target"),
    [
        ("COPY a /x", ("a",), "/x"),
        ("COPY a b x/", ("a", "b"), "/w/x/"),
        ("COPY a .", ("a",), "/w/"),
        ("COPY a ../y", ("a",), "/y"),
        ("ENV S=s\nCOPY $S ${T:-/t}", ("s",), "/t"),
    ],
)
def test_a_copys_target_is_absolute(text: str, sources: tuple[str, ...], target: str) -> None:
    operation = copy(text)
    assert (operation.sources, operation.target) == (sources, target)


def test_several_sources_need_a_directory() -> None:
    with pytest.raises(DockerfileFault, match="needs a directory: write x/"):
        steps("COPY a b x")


def test_here_documents_of_copy_are_expanded_unless_quoted() -> None:
    assert copy('ENV A=1\nCOPY <<E <<"F" /d/\n$A "q"\nE\n$A\nF').inline == (("E", '1 "q"\n'), ("F", "$A\n"))


def test_a_here_document_is_the_shells_text() -> None:
    assert run("RUN <<EOF\na\nb\nEOF").arguments == ("/bin/sh", "-c", "a\nb\n")


def test_a_here_document_with_an_interpreter_runs_as_a_file() -> None:
    operation = run("RUN <<EOF\n#!/bin/awk -f\nBEGIN {}\nEOF")
    assert (operation.arguments, operation.script) == ((SCRIPT_PATH,), "#!/bin/awk -f\nBEGIN {}\n")


def test_a_here_document_inside_a_command_stays_there() -> None:
    assert run("RUN cat <<EOF > /x\na\nEOF").arguments == ("/bin/sh", "-c", "cat <<EOF > /x\na\nEOF")


def test_ports_have_a_protocol_and_may_be_a_range() -> None:
    ports = config("ENV P=90\nEXPOSE 80 53/UDP $P 8000-8002/tcp").exposed_ports
    assert sorted(ports) == ["53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp", "90/tcp"]


@pytest.mark.parametrize(
    "text", ["EXPOSE 99999", "EXPOSE x", "EXPOSE 80/icmp", "EXPOSE 9-8", "STOPSIGNAL -", "ENV A=${"]
)
def test_bad_values_are_told_with_their_place(text: str) -> None:
    with pytest.raises(DockerfileFault, match=r"^Dockerfile:2: "):
        steps(text)


def test_triggers_of_the_base_run_first_and_are_not_inherited() -> None:
    base = ContainerConfig(on_build=("ENV FROM_BASE=1", "COPY . /app"))
    planned = steps("ENV B=$FROM_BASE", base)
    assert [type(step.operation) for step in planned] == [type(None), CopyFiles, type(None)]
    assert (planned[-1].config.env, planned[-1].config.on_build) == (("FROM_BASE=1", "B=1"), ())


def test_history_names_build_arguments_and_the_whole_command() -> None:
    planned = steps("ARG A=1\nRUN make\nLABEL a=b")
    assert [step.created_by for step in planned] == ["ARG A=1", "RUN |1 A=1 /bin/sh -c make", "LABEL a=b"]


def test_global_arguments_see_each_other_and_reach_stages_that_declare_them() -> None:
    parsed = parser.parse("ARG A=1\nARG B=$A/2\nFROM x\nARG B\nRUN x\n")
    globals_ = global_arguments(parsed.arguments, Arguments(), "\\")
    assert globals_ == {"A": "1", "B": "1/2"}
    planned = evaluate(parsed.stages[0].instructions, BASE, Arguments(globals=globals_))
    operation = planned[-1].operation
    assert isinstance(operation, Run)
    assert operation.env == ("PATH=/bin", "B=1/2")
