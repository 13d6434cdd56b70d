"""The flags of `knarr build`: docker's and buildx's names where they have one."""

import argparse

from knarr.cli import node_client

# Flag, what it takes, what it does. All of these may be given several times.
REPEATED = (
    ("--build-arg", "K=V", "a value for an ARG; K alone takes it from the environment"),
    ("--label", "K=V", "a label for the image"),
    ("--annotation", "K=V", "an annotation for the manifest; index:K=V for the index"),
    ("--secret", "id=ID,src=FILE", "for RUN --mount=type=secret; env=NAME instead of src takes a variable"),
    ("--ssh", "ID[=SOCKET|KEY,…]", "an SSH agent, or keys, for RUN --mount=type=ssh and git; default: $SSH_AUTH_SOCK"),
    (
        "--build-context",
        "NAME=WHERE",
        "what --from=NAME means: a directory, git URL, docker-image://REF or oci-layout://DIR",
    ),
    ("--platform", "OS/ARCH,…", "the platforms to build for; several make an index"),
    ("--no-cache-filter", "STAGE,…", "run the steps of these stages again"),
    ("--add-host", "NAME:ADDRESS", "a line for /etc/hosts of RUN"),
    ("--ulimit", "NAME=SOFT[:HARD]", "a limit for RUN, such as nofile=1024:2048"),
    ("--allow", "WHAT", "what RUN may ask for: network.host, security.insecure"),
    ("--cache-from", "WHERE", "where steps' results may come from: a registry's REF, or type=local,src=DIR"),
    (
        "--cache-to",
        "WHERE",
        "where they go: REF, type=inline, type=local,dest=DIR, type=registry,ref=REF; mode=max for all",
    ),
    ("--attest", "type=provenance", "an attestation beside the image; see --provenance"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    node_client.configure(parser)
    add = parser.add_argument
    add("-t", "--tag", action="append", default=[], metavar="REF", help="the image's name; repeatable")
    add("-f", "--file", default="", help="the Dockerfile (default DIR/Dockerfile), - for standard input, or a URL")
    for flag, metavar, text in REPEATED:
        add(flag, action="append", default=[], metavar=metavar, help=text)
    outputs = "local, tar, oci or docker with dest=PATH, image, registry, cacheonly; a path alone is type=local"
    add("-o", "--output", action="append", default=[], metavar="type=T,…", help=outputs)
    add("--target", default="", help="the stage to build (default: the last)")
    add("--no-cache", action="store_true", help="run every step again")
    add("--pull", action="store_true", help="ask the registry for newer base images")
    add("--push", action="store_true", help="push the image afterwards")
    add("--load", action="store_true", help=argparse.SUPPRESS)  # what is built is loaded already
    add("--network", choices=("default", "none", "host"), default="default", help="the network of RUN")
    add("--shm-size", default="", metavar="SIZE", help="the size of /dev/shm for RUN")
    add("--timestamp", default="", metavar="SECONDS", help="this time for the image and every file in its new layers")
    add("--provenance", default="", metavar="mode=min|max", help="attest what built the image")
    add("--sbom", default="", help=argparse.SUPPRESS)
    add("--iidfile", default="", metavar="FILE", help="write the image's id there")
    add("--metadata-file", default="", metavar="FILE", help="write digests and names there, as JSON")
    add("--call", default="build", metavar="WHAT", help="instead of building: check, outline or targets[,format=json]")
    add("--check", action="store_const", dest="call", const="check", help="check the Dockerfile, build nothing")
    add("-q", "--quiet", action="store_true", help="print the image's digest alone")
    shapes = ("auto", "plain", "tty", "quiet", "rawjson")
    add("--progress", choices=shapes, default="auto", help="plain: no live lines; rawjson: the node's own")
    where = "the directory whose files COPY and ADD may take; a git or tar URL; - for a tar or a Dockerfile on stdin"
    add("context", metavar="CONTEXT", help=where)
