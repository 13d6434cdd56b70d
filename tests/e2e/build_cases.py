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
