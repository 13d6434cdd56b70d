"""The Dockerfile parser: instructions, flags, here-documents, and how each mistake is told."""

import pytest
from e2b_dockerfile_utils import parse_dockerfile_ast
from hypothesis import given
from hypothesis import strategies as st

from knarr.base.errors import KnarrError
from knarr.builder.dockerfile import instructions as kinds
from knarr.builder.dockerfile import lexer, parser
from knarr.builder.dockerfile.faults import DockerfileFault
from knarr.builder.dockerfile.instructions import Command, RunMount

EVERYTHING = r"""# syntax=docker/dockerfile:1
# escape=\

ARG VERSION=1 BASE
FROM --platform=$BUILDPLATFORM busybox:${VERSION} AS Build
RUN echo a \
  # a comment between

  && echo b
RUN ["ls", "-l"]
RUN --mount=type=cache,target=/c,sharing=locked --mount=type=secret,id=tok --network=none make
RUN <<EOF
echo one
EOF
COPY --from=build --chown=1:2 --chmod=640 --link a b /c/
COPY ["with space", "/d"]
COPY <<'A' <<-B /e/
$raw
A
	tabs
	B
ADD --checksum=sha256:aa https://example.org/x.tar /x
ENV A=1 B="two words" C=\ x
ENV OLD the rest  of it
LABEL a.b="c d"
WORKDIR /srv
USER 1:2
EXPOSE 80 53/udp
VOLUME ["/v"]
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f x || exit 1
HEALTHCHECK NONE
SHELL ["/bin/bash", "-c"]
ONBUILD RUN echo hi
ENTRYPOINT ["/e"]
CMD echo hi
MAINTAINER me
"""


def only(text: str) -> kinds.Instruction:
    return parser.parse(f"FROM scratch\n{text}\n").stages[0].instructions[0]


def test_every_instruction_is_read() -> None:
    parsed = parser.parse(EVERYTHING)
    assert [pair for arg in parsed.arguments for pair in arg.pairs] == [("VERSION", "1"), ("BASE", None)]
    assert parsed.directives == {"syntax": "docker/dockerfile:1", "escape": "\\"}
    (stage,) = parsed.stages
    assert (stage.name, stage.base.image, stage.base.platform) == ("build", "busybox:${VERSION}", "$BUILDPLATFORM")
    words = [type(instruction).__name__ for instruction in stage.instructions]
    assert words == (
        ["Run"] * 4 + ["Copy"] * 4 + ["Env"] * 2 + ["Label", "Workdir", "User", "Expose", "Volume", "StopSignal"]
        + ["Healthcheck"] * 2 + ["Shell", "OnBuild", "Entrypoint", "Cmd", "Maintainer"]
    )  # fmt: skip


def test_a_continuation_skips_comments_and_empty_lines() -> None:
    run = only("RUN echo a \\\n  # comment\n\n  && echo b")
    assert isinstance(run, kinds.Run)
    assert run.command == Command(("echo a   && echo b",), is_shell=True)
    assert (run.place.line, run.place.end) == (2, 5)


def test_run_keeps_mounts_and_network() -> None:
    run = only("RUN --mount=type=cache,dst=/c --mount=type=secret,id=tok,required --network=host x")
    assert isinstance(run, kinds.Run)
    assert run.mounts == (
        RunMount("cache", {"target": "/c"}),
        RunMount("secret", {"id": "tok", "required": "true"}),
    )
    assert run.network == "host"


def test_copy_reads_flags_and_json() -> None:
    copy = only('COPY --from=build --chown=1:2 --chmod=640 --exclude=*.o --exclude=b --parents ["a b", "/c"]')
    assert isinstance(copy, kinds.Copy)
    assert (copy.sources, copy.target, copy.from_, copy.chown) == (("a b",), "/c", "build", "1:2")
    assert (copy.exclude, copy.keeps_parents, copy.is_link) == (("*.o", "b"), True, False)


def test_here_documents_of_copy_are_its_sources() -> None:
    copy = only("COPY plain <<'A' <<-B /e/\n$raw\nA\n\ttabs\n\tB")
    assert isinstance(copy, kinds.Copy)
    assert copy.sources == ("plain",)
    assert [(doc.name, doc.content, doc.expands) for doc in copy.heredocs] == [
        ("A", "$raw\n", False),
        ("B", "tabs\n", True),
    ]


def test_a_shift_in_arithmetic_is_no_here_document() -> None:
    run = only("RUN echo $((1<<2)) '<<EOF' <<<word")
    assert isinstance(run, kinds.Run)
    assert run.heredocs == ()


def test_another_escape_character_leaves_backslashes_alone() -> None:
    parsed = parser.parse("# escape=`\nFROM scratch\nCOPY C:\\a `\n  C:\\b\n")
    (copy,) = parsed.stages[0].instructions
    assert isinstance(copy, kinds.Copy)
    assert (copy.sources, copy.target) == (("C:\\a",), "C:\\b")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("FROM x\nCOPPY a b", 'Dockerfile:2: unknown instruction "COPPY"; did you mean COPY?'),
        ("FROM x\nCOPY a", "Dockerfile:2: COPY needs at least a source and a destination"),
        ("FROM x\nCOPY 'a b", "COPY SOURCE… DESTINATION; a quote is not closed"),
        ("FROM x\nRUN", "RUN needs an argument: RUN COMMAND"),
        ("FROM x\nRUN --mount=type=cache,target=/x,sharing=all y", "sharing is shared, private or locked, not 'all'"),
        ("FROM x\nCOPY --form=a b c", "COPY has no flag --form; did you mean --from?"),
        ("FROM x\nCMD --x", "CMD has no flag --x; it takes none"),
        ("FROM x\nENV A", "ENV A has no value: ENV A=…"),
        ("FROM x\nENV A=1 B", "'B' is not name=value"),
        ("FROM x\nRUN <<EOF\necho", "the here-document <<EOF has no end"),
        ("FROM x\nRUN --mount=type=cash,target=/x y", "type 'cash' is none of"),
        ("FROM x\nRUN --mount=type=cache y", "type=cache needs target"),
        ("FROM x\nRUN --network=all y", "--network is default, none or host, not 'all'"),
        ("FROM x\nSHELL bash", "SHELL takes a JSON array"),
        ("FROM x\nHEALTHCHECK --interval=5 CMD x", "'5' is not a duration"),
        ("FROM x\nONBUILD FROM y", "ONBUILD FROM is not allowed"),
        ("FROM x\nONBUILD COPPY a b", 'unknown instruction "COPPY"'),
        ("FROM x ASS y", "FROM is written"),
        ("FROM x AS 1a", "cannot name a stage"),
        ("RUN x\nFROM y", "Dockerfile:1: RUN stands before the first FROM"),
        ("", "there is no FROM"),
        ("# escape=x\nFROM a", "escape is a backslash or a backquote"),
        ("# escape=`\n# escape=`\nFROM a", "only one escape directive"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, what: str) -> None:
    with pytest.raises(DockerfileFault) as caught:
        parser.parse(text)
    assert what in str(caught.value)


def test_the_caret_stands_below_the_mistake() -> None:
    with pytest.raises(DockerfileFault) as caught:
        parser.parse("FROM x\nCOPY --form=a b c\n", "sub/Dockerfile")
    assert str(caught.value).splitlines() == [
        "sub/Dockerfile:2: COPY has no flag --form; did you mean --from?",
        "  2 | COPY --form=a b c",
        "           ^^^^^^^^",
    ]


@pytest.mark.parametrize("length", range(0, len(EVERYTHING), 7))
def test_a_file_cut_short_is_read_or_refused(length: int) -> None:
    try:
        parser.parse(EVERYTHING[:length])
    except KnarrError as error:
        assert str(error)  # noqa: PT017  both outcomes are right


@given(st.text(alphabet="FROMRUN aA1<>EOF\\\"'$`#=[]{}-\n\t,", max_size=120))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parser.parse(f"FROM a\n{text}")
    except KnarrError as error:
        assert str(error)  # noqa: PT017  both outcomes are right


def test_lines_words_and_here_documents_agree_with_the_oracle() -> None:
    ours = lexer.lex(EVERYTHING).lines
    theirs = parse_dockerfile_ast(EVERYTHING).instructions
    assert [line.text.split()[0].upper() for line in ours] == [instruction.name.upper() for instruction in theirs]
    assert [line.place.line for line in ours] == [instruction.start_line for instruction in theirs]
    documents = [[doc.content for doc in line.heredocs] for line in ours]
    # The oracle takes the tabs of <<- away later.
    plain = [[doc.content.replace("\t", "") for doc in instruction.heredocs] for instruction in theirs]
    assert documents == plain
