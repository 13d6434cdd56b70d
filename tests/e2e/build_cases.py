"""Dockerfiles that two builders must agree on, and the context that all of them have.

Each goes after a FROM of the base image; section by section of the Dockerfile reference. A case that starts with `FROM`
or `ARG` or `#` is a whole file.
"""

import io
import lzma
import os
import tarfile
from pathlib import Path

CASES: dict[str, str] = {
    # ENV and ARG
    "env": 'ENV A=1 B="two words" C=three\\ words D=\'single $A\'\nENV OLD the rest "of it"',
    "env uses what stood before": "ENV A=1\nENV A=2 B=$A\nENV C=${A}x D=$AB E=$A/B",
    "env defaults": "ENV X=x EMPTY=\nENV P=${X:-d} Q=${NONE:-d} R=${NONE:+a} S=${X:+a} T=${EMPTY:-e}",
    "env quotes": 'ENV A="it\'s" B=\'say "x"\' C="esc \\" quote" D=a\\"b',
    "env dollar": "ENV A=\\$B C='$D' E=\\\\x",
    "arg": "ARG A=1\nARG B=$A/2\nARG C\nENV X=$A Y=$B Z=${C:-none}",
    "arg given": "ARG GIVEN=default\nRUN echo $GIVEN > /given\nENV G=$GIVEN",
    "env beats arg": "ARG A=arg\nENV A=env\nRUN echo $A > /a",
    "arg in run": 'ARG A="with space"\nRUN echo "$A" > /a',
    "arg before from": "ARG TAG=latest\nFROM localhost/base:${TAG}\nARG TAG\nRUN echo tag=$TAG > /tag",
    "arg before from is not seen": "ARG V=1\nFROM localhost/base\nRUN echo v=$V > /v",
    "env in later run": "ENV PATH=/bin:/extra\nRUN echo $PATH > /path",
    # LABEL, metadata
    "label": 'LABEL a=b "c d"="e f" multi="one \\\ntwo"\nLABEL a=over',
    "label variable": "ENV V=7\nLABEL version=$V v2=${V}-x",
    "maintainer": "MAINTAINER some one",
    "expose": "EXPOSE 80 443/tcp 53/udp\nENV P=8080\nEXPOSE $P/tcp",
    "user": "USER nobody",
    "user variable": "ENV U=1000\nUSER $U:$U",
    "volume": 'VOLUME /data /logs\nVOLUME ["/more"]',
    "stopsignal": "STOPSIGNAL SIGKILL",
    "cmd shell": "CMD echo hello $A",
    "cmd exec": 'CMD ["echo", "hello"]',
    "entrypoint shell": "ENTRYPOINT exec top -b",
    "entrypoint exec and cmd": 'ENTRYPOINT ["top", "-b"]\nCMD ["-c"]',
    "cmd then entrypoint": 'CMD ["-c"]\nENTRYPOINT ["top"]',
    "entrypoint forgets the base's cmd": 'ENTRYPOINT ["top"]',
    "shell": 'SHELL ["/bin/sh", "-ec"]\nRUN echo x > /x\nCMD echo y',
    "healthcheck": "HEALTHCHECK --interval=5m --timeout=3s --start-period=1m --retries=2 CMD wget -q x || exit 1",
    "healthcheck exec": 'HEALTHCHECK CMD ["true"]',
    "healthcheck none": "HEALTHCHECK NONE",
    "onbuild": "ONBUILD RUN echo triggered\nONBUILD COPY a.txt /",
    # WORKDIR
    "workdir": "WORKDIR /a\nWORKDIR b\nWORKDIR c/../d\nRUN pwd > /pwd",
    "workdir variable": "ENV D=/var\nWORKDIR $D/x\nCOPY a.txt .",
    "workdir that exists": "WORKDIR /tmp\nCOPY a.txt b.txt ./",
    # RUN
    "run shell": "RUN echo one && echo two > /two",
    "run exec": 'RUN ["/bin/sh", "-c", "echo $HOME > /home"]',
    "run continuation": "RUN echo a \\\n # comment\n && echo b > /b",
    "run user": "RUN mkdir /w && chmod 777 /w\nUSER 1000:2000\nRUN id -u > /w/u && id -g > /w/g",
    "run named user": "USER app\nRUN id > /tmp/id",
    "run removes": "RUN rm /etc/issue && mkdir -p /new/deep && rm -r /opt",
    "run replaces a directory": "RUN rm -r /opt && mkdir /opt && echo n > /opt/new",
    "run modes": "RUN chmod 4755 /etc/issue && chmod 1777 /opt && chmod 700 /opt/sub",
    "run owners": "RUN chown 12:34 /etc/issue && chown -R app /opt",
    "run links": "RUN ln -s /etc/issue /soft && ln /etc/issue /etc/hard && ln -s ../x /opt/dangling",
    "run fifo": "RUN mkfifo /pipe",
    "run rename": "RUN mv /opt/sub /opt/moved",
    "run nothing": "RUN true",
    "run twice": "RUN echo x >> /x\nRUN echo x >> /x",
    "run odd names": "RUN touch '/sp ace' '/uml\u00e4ut' '/-dash' /.hidden",
    # COPY
    "copy file": "COPY a.txt /copied.txt",
    "copy file into a directory": "COPY a.txt /d/",
    "copy file into a directory that exists": "COPY a.txt /opt",
    "copy keeps modes": "COPY exec.sh b.txt /m/",
    "copy directory": "COPY dir /dir",
    "copy directory with slash": "COPY dir/ /deep/er/",
    "copy everything": "COPY . /all/",
    "copy everything into the root": "COPY dir /",
    "copy wildcard": "COPY *.c /src/",
    "copy question mark": "COPY x?.c /src/",
    "copy class": "COPY [xy]1.* /src/",
    "copy wildcard of directories": "COPY di* /src/",
    "copy json": 'COPY ["with space/file name.txt", "/js on/"]',
    "copy hidden": "COPY .hidden /h",
    "copy link": "COPY dir/link /followed",
    "copy over": "COPY a.txt /etc/issue",
    "copy over a link": "RUN ln -s /etc/issue /soft\nCOPY a.txt /soft",
    "copy through a directory link": "RUN ln -s /opt /way\nCOPY a.txt /way/in",
    "copy to a relative path": "WORKDIR /w\nCOPY a.txt sub/",
    "copy empty directory": "COPY empty /empty/",
    "copy chown": "COPY --chown=1:2 dir /c/",
    "copy chown names": "COPY --chown=app:staff a.txt /c/",
    "copy chown number alone": "COPY --chown=77 a.txt /c/",
    "copy chown of a user alone": "COPY --chown=app a.txt /c/",
    "copy chmod": "COPY --chmod=640 a.txt exec.sh /c/",
    "copy merges": "COPY dir /opt/",
    "copy dot dot": "COPY dir/../a.txt /x/",
    "copy leading slash": "COPY /a.txt /x/",
    "copy variable": "ENV S=a.txt D=/vv\nCOPY $S ${D}/",
    # stages
    "copy from": "FROM localhost/base AS one\nRUN echo built > /built\n"
    "FROM localhost/base\nCOPY --from=one /built /etc/issue /got/",
    "copy from number": "FROM localhost/base\nRUN echo 0 > /n\nFROM localhost/base\nCOPY --from=0 /n /n0",
    "copy from directory": "FROM localhost/base AS one\nFROM localhost/base\nCOPY --from=one /opt /opt2",
    "copy from keeps owners": "FROM localhost/base AS one\nRUN echo x > /f && chown 5:6 /f && chmod 4711 /f\n"
    "FROM localhost/base\nCOPY --from=one /f /f",
    "copy from with chown": "FROM localhost/base AS one\nFROM localhost/base\n"
    "COPY --from=one --chown=9:9 /etc/issue /i",
    "copy from an image": "COPY --from=localhost/base /etc/issue /again",
    "from a stage": "FROM localhost/base AS one\nENV S=1\nWORKDIR /w\nUSER 3\nFROM one\nRUN echo $S",
    "unneeded stage": "FROM localhost/base AS broken\nRUN exit 1\nFROM localhost/base\nRUN echo fine > /fine",
    "scratch": "FROM scratch\nCOPY a.txt /\nENV A=1",
    # ADD
    "add file": "ADD a.txt /added",
    "add tar": "ADD plain.tar /t/",
    "add gzip": "ADD pack.tar.gz /t",
    "add bzip2": "ADD pack.tar.bz2 /t/",
    "add xz": "ADD pack.tar.xz /t/",
    "add into the root": "ADD pack.tar.gz /",
    "add over files": "RUN mkdir -p /t/d && echo old > /t/d/g\nADD plain.tar /t/",
    "add what only looks like a tar": "ADD fake.tar /t/",
    "add directory": "ADD dir /t/",
    "copy does not unpack": "COPY plain.tar /t/",
    # predefined and platform arguments
    "arg target platform": "ENV Z=z\nARG TARGETARCH\nARG TARGETOS\nRUN echo $TARGETOS/$TARGETARCH > /p",
    "arg several in a line": "ARG A=1 B=2\nRUN echo $A$B > /ab",
    "arg given beats a default in a later stage": "FROM localhost/base AS one\nARG GIVEN=x\n"
    "RUN echo $GIVEN > /g\nFROM one\nARG GIVEN=y\nRUN echo $GIVEN > /h",
    "arg does not outlive its stage": "FROM localhost/base AS one\nARG A=1\nFROM one\nRUN echo a=$A > /a",
    "arg with quotes": "ARG A='one two'\nRUN echo \"$A\" > /a",
    "arg empty": 'ARG A=\nRUN echo "[$A]" > /a',
    "env empty": 'ENV A= B=x\nRUN echo "[$A]$B" > /a',
    "env with an equals sign": 'ENV A=b=c OPTS="-Dx=1 -Dy=2"',
    "env over several lines": "ENV A=1 \\\n    B=2 \\\n    C=3",
    "env path grows": "ENV PATH=/opt:$PATH\nENV PATH=$PATH:/end",
    "env in copy and workdir": "ENV D=/dd F=a.txt\nWORKDIR ${D}\nCOPY ${F} ${D}/x/",
    "env in label": "ENV V=3\nLABEL v=\"v${V}\" w='$V'",
    "env in stopsignal": "ENV S=SIGINT\nSTOPSIGNAL $S",
    "env in volume": "ENV V=/vol\nVOLUME $V",
    "env in expose": "ENV P=80\nEXPOSE ${P} ${Q:-90}/udp",
    # metadata, more
    "label empty": 'LABEL a="" b=',
    "label dots and slashes": 'LABEL com.example/x.y=1 org.opencontainers.image.title="A b"',
    "label old form": "LABEL key the whole rest",
    "expose a range": "EXPOSE 8000-8003",
    "expose twice": "EXPOSE 80\nEXPOSE 80/tcp 81",
    "user number": "USER 1000",
    "user and group by name": "USER app:staff",
    "user back to root": "USER 1000\nUSER root\nRUN touch /r",
    "volume json": 'FROM scratch\nCOPY a.txt /data/\nVOLUME ["/data"]',
    "stopsignal number": "STOPSIGNAL 9",
    "cmd empty": "CMD []",
    "entrypoint empty": "ENTRYPOINT []",
    "entrypoint shell and cmd": 'ENTRYPOINT echo a\nCMD ["b"]',
    "cmd twice": 'CMD ["a"]\nCMD ["b"]',
    "cmd with escapes": 'CMD ["a\\tb", "c\\"d"]',
    "healthcheck start period": "HEALTHCHECK --start-period=10s --retries=1 CMD true",
    "onbuild several": "ONBUILD RUN echo 1 > /1\nONBUILD ENV A=1\nONBUILD WORKDIR /w",
    "comment between continuations": "RUN echo a > /a && \\\n# no\n  # neither\n echo b > /b",
    "tabs and blanks": "\tRUN\techo\ta\t>\t/a",
    "mixed case": "Run echo x > /x\nCopy a.txt /",
    # RUN, more
    "run mount bind": "RUN --mount=type=bind,source=a.txt,target=/m/a.txt cat /m/a.txt > /got",
    "run mount bind of a directory": "RUN --mount=type=bind,source=dir,target=/m ls /m > /got",
    "run mount from a stage": "FROM localhost/base AS one\nRUN echo s > /s\nFROM localhost/base\n"
    "RUN --mount=type=bind,from=one,source=/s,target=/m/s cat /m/s > /got",
    "run mount tmpfs": "RUN --mount=type=tmpfs,target=/scratch echo x > /scratch/x && ls /scratch > /got",
    "run mount cache": "RUN --mount=type=cache,target=/cc echo x > /cc/x && cat /cc/x > /got",
    "run network none": "RUN --network=none echo x > /got",
    "run changes a mode of a lower file": "RUN chmod 600 /etc/issue",
    "run appends to a lower file": "RUN echo more >> /etc/issue",
    "run removes and makes again": "RUN rm /etc/issue\nRUN echo again > /etc/issue",
    "run moves over": "RUN mv /etc/issue /etc/passwd",
    "run makes a deep tree": "RUN mkdir -p /a/b/c/d && touch /a/b/c/d/e && chmod 711 /a/b",
    "run link to a directory": "RUN ln -s /opt/sub /way && touch /way/through",
    "run sticky and setgid": "RUN mkdir /s && chmod 3775 /s && touch /s/f",
    "run in a workdir": "WORKDIR /w/x\nRUN touch here",
    "run as a user in a workdir": "WORKDIR /w\nRUN chown 1000 .\nUSER 1000\nRUN touch here",
    "run large file": "RUN dd if=/dev/zero of=/zeros bs=1024 count=300 2>/dev/null",
    # COPY, more
    "copy two directories": "COPY dir empty /both/",
    "copy file and directory": "COPY a.txt dir /both/",
    "copy over a directory that exists keeps what is there": "COPY dir /opt/sub",
    "copy into a sticky directory": "COPY a.txt /tmp/",
    "copy a file to a name below nothing": "COPY a.txt /n/e/w/name",
    "copy chmod of a directory": "COPY --chmod=755 dir /c/",
    "copy chown and chmod": "COPY --chown=3:4 --chmod=600 a.txt /c/x",
    "copy chown makes parents": "COPY --chown=3:4 a.txt /p/q/",
    "copy from wildcard": "FROM localhost/base AS one\nRUN mkdir /d && touch /d/a1 /d/a2 /d/b\n"
    "FROM localhost/base\nCOPY --from=one /d/a* /got/",
    "copy from a link": "FROM localhost/base AS one\nRUN echo t > /t && ln -s t /l\nFROM localhost/base\n"
    "COPY --from=one /l /got",
    "copy from keeps links inside": "FROM localhost/base AS one\nRUN mkdir /d && ln -s ../x /d/l && touch /d/f\n"
    "FROM localhost/base\nCOPY --from=one /d /got",
    "copy from keeps modes of directories": "FROM localhost/base AS one\nRUN mkdir -m 1733 -p /d/in\n"
    "FROM localhost/base\nCOPY --from=one /d /got",
    "copy from stage by number twice": "FROM localhost/base\nRUN echo a > /a\nFROM localhost/base\n"
    "COPY --from=0 /a /a\nFROM localhost/base\nCOPY --from=1 /a /b",
    "stages in a chain": "FROM localhost/base AS a\nRUN echo a > /a\n"
    "FROM a AS b\nRUN echo b > /b\nFROM b\nRUN cat /a /b > /l",
    "stage names in capitals": "FROM localhost/base AS Build\nRUN echo a > /a\nFROM scratch\nCOPY --from=build /a /a",
    "scratch with metadata": 'FROM scratch\nCOPY exec.sh /\nENV A=1\nENTRYPOINT ["/exec.sh"]\nEXPOSE 1',
    # ADD, more
    "add chown": "ADD --chown=7:8 a.txt /x/",
    "add chown of an archive": "ADD --chown=7:8 plain.tar /x/",
    "add two archives": "ADD plain.tar pack.tar.xz /x/",
    "add wildcard of archives": "ADD pack.tar.* /x/",
    "add archive to a name without slash": "ADD plain.tar /x",
    # form
    "lower case": "run echo x > /x\ncopy a.txt /\nenv A=1",
    "escape directive": "# escape=`\nFROM localhost/base\nRUN echo a `\n && echo b > /b\nENV P=C:\\x",
    "comments": "# one\nRUN echo '# no comment' > /c\n  # indented\nENV A=1",
    "json with spaces": 'CMD   [  "a" ,  "b"  ]',
    "not json": "RUN [ -f /etc/issue ] && echo yes > /yes",
    "single quotes are no json": "CMD ['a', 'b']",
}

IGNORED: dict[str, str] = {
    "star": "*.txt",
    "double star": "**/*.txt",
    "negated": "*\n!dir",
    "negated inside": "dir\n!dir/sub",
    "negated then ignored": "!a.txt\n*.txt",
    "rooted": "/a.txt",
    "trailing slash": "dir/",
    "question mark": "x?.c",
    "class": "[xy]1.*",
    "comment and blank": "# a.txt\n\n   \nb.txt",
    "deep": "dir/*/three",
    "dot": ".hidden",
    "everything but": "*\n!a.txt\n!dir/one",
    "double star in the middle": "dir/**/three",
    "double star at the end": "dir/**",
    "brought back, then out again": "*\n!dir\ndir/sub",
    "leading dot slash": "./a.txt",
    "negated class": "[^xy]*.txt",
    "windows line ends": "*.txt\r\ndir\r",
}


def make_context(root: Path) -> None:
    """The files that the cases copy."""
    root.mkdir()
    for name, mode in (("a.txt", 0o644), ("b.txt", 0o600), ("exec.sh", 0o755), ("x1.c", 0o644), ("x2.c", 0o640)):
        _write(root / name, f"{name}\n", mode)
    for name in ("y1.h", ".hidden", "with space/file name.txt", "dir/one", "dir/two", "dir/sub/three"):
        _write(root / name, f"{name}\n", 0o644)
    _write(root / "fake.tar", "this is no archive\n", 0o644)
    (root / "dir/sub").chmod(0o700)
    (root / "dir/link").symlink_to("one")
    (root / "empty").mkdir()
    plain = _archive()
    (root / "plain.tar").write_bytes(plain)
    with tarfile.open(root / "pack.tar.gz", "w:gz") as archive:
        _fill(archive)
    with tarfile.open(root / "pack.tar.bz2", "w:bz2") as archive:
        _fill(archive)
    (root / "pack.tar.xz").write_bytes(lzma.compress(plain))


def whole(case: str) -> str:
    return case if case.startswith(("FROM", "ARG T", "ARG V", "#  ", "# escape")) else f"FROM localhost/base\n{case}"


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    # buildah takes a file for unchanged that has the size and the second of the one it replaces.
    os.utime(path, (1_000_000_000, 1_000_000_000))


def _archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        _fill(archive)
    return buffer.getvalue()


def _fill(archive: tarfile.TarFile) -> None:
    for name, kind, mode, owner in (("f", tarfile.REGTYPE, 0o640, 0), ("d", tarfile.DIRTYPE, 0o750, 3)):
        member = tarfile.TarInfo(name)
        member.type, member.mode, member.uid, member.gid = kind, mode, owner, owner
        member.size = 2 if kind == tarfile.REGTYPE else 0
        archive.addfile(member, io.BytesIO(b"f\n"))
    inner = tarfile.TarInfo("d/g")
    inner.size, inner.uid, inner.gid = 2, 5, 6
    archive.addfile(inner, io.BytesIO(b"g\n"))
    link = tarfile.TarInfo("d/l")
    link.type, link.linkname = tarfile.SYMTYPE, "../f"
    archive.addfile(link)
