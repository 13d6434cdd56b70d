"""Values of the flags of `knarr build`: text in, members of the request out. What is wrong raises Invalid."""

import argparse
import base64
import csv
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knarr.base.errors import Invalid, Unimplemented
from knarr.cli import build

SECRET_MAX = 500 * 1024
HOST_GATEWAY = "host-gateway"
_SIZE = re.compile(r"([0-9]+)([bkmgBKMG]?)[bB]?")
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
OUTPUTS = ("local", "tar", "oci", "docker", "image", "registry", "cacheonly")
_LIMITS = ("as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
           "rtprio", "rttime", "sigpending", "stack")  # fmt: skip
# What an output may say beside its type.
_OUTPUT_OPTIONS = ("type", "dest", "name", "push", "oci-mediatypes", "rewrite-timestamp", "tar")


def body(arguments: argparse.Namespace) -> dict[str, Any]:
    """The members of the request that these flags make."""
    manifest, index = annotations(arguments.annotation)
    given: dict[str, Any] = {
        "annotations": manifest,
        "index_annotations": index,
        "secrets": dict(secret(text) for text in arguments.secret),
        "platforms": words(arguments.platform),
        "uncached": words(arguments.no_cache_filter),
        "hosts": [host(text, arguments.network) for text in arguments.add_host],
        "ulimits": dict(ulimit(text) for text in arguments.ulimit),
        "allows": words(arguments.allow),
        "shm_bytes": size("--shm-size", arguments.shm_size) if arguments.shm_size else 0,
        "provenance": provenance(arguments),
        **caches(arguments),
    }
    if arguments.timestamp:
        given |= {"epoch": build.epoch("--timestamp", arguments.timestamp), "sets_times": True}
    parsed = outputs(arguments.output)
    if any(output.get("oci-mediatypes") == "false" for output in parsed):
        given["is_docker"] = True
    if any(output["type"] == "cacheonly" for output in parsed):
        given["names"] = []
    return given


def words(given: list[str]) -> list[str]:
    """Values that may be given several times, or with commas between them."""
    return [word.strip() for text in given for word in text.split(",") if word.strip()]


def options(flag: str, text: str) -> dict[str, str]:
    """`key=value,…`; a value with a comma stands in double quotes, as docker has it."""
    found = {}
    try:
        parts = next(csv.reader([text]), [])
    except csv.Error as error:
        raise Invalid(f"{flag} {text[:200]!r}: {error}") from error
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals:
            raise Invalid(f"{flag} {text!r}: {part!r} is not key=value")
        found[key.strip().lower()] = value
    return found


def size(flag: str, text: str) -> int:
    """`64m`, `1g`, `512kb` or bytes."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise Invalid(f"{flag}: {text!r} is not a size such as 64m")
    return int(match[1]) * _UNITS[match[2].lower()]


def secret(given: str) -> tuple[str, str]:
    """`id=ID,src=FILE` or `id=ID,env=NAME` → id and base64."""
    found = options("--secret", given)
    source = found.get("src") or found.get("source")
    name = found.get("id") or (Path(source).name if source else "")
    if not name:
        raise Invalid(f"--secret {given!r} is not id=ID,src=FILE")
    variable = found.get("env") or ("" if source else name)
    if source:
        try:
            content = Path(source).expanduser().read_bytes()
        except OSError as error:
            raise Invalid(f"--secret id={name}: {source}: {error.strerror}") from error
    elif variable in os.environ:
        content = os.fsencode(os.environ[variable])
    else:
        raise Invalid(f"--secret id={name}: name its file with src=, or a variable with env=")
    if len(content) > SECRET_MAX:
        raise Invalid(f"--secret id={name}: {len(content)} bytes are more than {SECRET_MAX}")
    return name, base64.b64encode(content).decode()


def host(given: str, network: str) -> tuple[str, str]:
    """`name:address` or `name=address`; an IPv6 address may stand in brackets, `host-gateway` is this machine."""
    at = min((given.index(mark) for mark in ":=" if mark in given), default=-1)
    name, address = given[:at], given[at + 1 :].strip("[]")
    if address == HOST_GATEWAY:
        if network != "host":
            with_it = "--network host --allow network.host"
            raise Unimplemented(f"--add-host {given}: RUN reaches nothing of this machine, except with {with_it}")
        address = "127.0.0.1"
    if at <= 0 or not re.fullmatch(r"[0-9A-Fa-f.:]+", address) or not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise Invalid(f"--add-host {given!r} is not NAME:ADDRESS")
    return name, address


def ulimit(given: str) -> tuple[str, tuple[int, int]]:
    name, _, values = given.partition("=")
    soft, colon, hard = values.partition(":")
    hard = hard if colon else soft
    numbers = [int(text) for text in (soft, hard) if re.fullmatch(r"[0-9]{1,18}", text)]
    if name not in _LIMITS or len(numbers) != 2 or numbers[0] > numbers[1]:
        raise Invalid(f"--ulimit {given!r} is not NAME=SOFT[:HARD], NAME one of {', '.join(_LIMITS)}")
    return name, (numbers[0], numbers[1])


def annotations(given: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Those of the manifest, and those of the index."""
    manifest: dict[str, str] = {}
    index: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        scopes, colon, rest = name.rpartition(":")
        if not equals or not rest:
            raise Invalid(f"--annotation {text!r} is not KEY=VALUE")
        for scope in scopes.split(",") if colon else ["manifest"]:
            if scope not in ("manifest", "index"):
                raise Invalid(f"--annotation {text!r}: {scope!r} is neither manifest nor index")
            (manifest if scope == "manifest" else index)[rest] = value
    return manifest, index


def provenance(arguments: argparse.Namespace) -> str:
    """ "", "min" or "max"."""
    wanted = arguments.provenance
    sbom = arguments.sbom
    for text in arguments.attest:
        found = options("--attest", text)
        kind = found.pop("type", "")
        is_off = found.pop("disabled", "false") == "true"
        if kind == "provenance":
            wanted = "false" if is_off else f"mode={found.get('mode', 'min')}"
        elif kind == "sbom":
            sbom = "false" if is_off else "true"
        else:
            raise Invalid(f"--attest {text!r}: type is provenance or sbom")
    if sbom not in ("", "false"):
        raise Unimplemented("--sbom: knarr does not scan packages; run a scanner such as syft on the image")
    modes = {"": "", "false": "", "true": "min", "mode=min": "min", "mode=max": "max", "min": "min", "max": "max"}
    if wanted not in modes:
        raise Invalid(f"--provenance {wanted!r} is not true, false, mode=min or mode=max")
    return modes[wanted]


@dataclass(frozen=True, slots=True)
class Cache:
    """One --cache-from or --cache-to: `where` is a reference (registry) or a directory (local)."""

    kind: str
    where: str
    mode: str = "min"
    tag: str = ""
    digest: str = ""

    @property
    def reference(self) -> str:
        """The name that the node knows it by; a directory's is this process's own, for builds end at any time."""
        if self.kind != "local":
            return self.where
        path = hashlib.sha256(os.fsencode(os.path.realpath(self.where))).hexdigest()[:16]
        return f"knarr.local/buildcache:{path}-{os.getpid()}"


def cache_sources(arguments: argparse.Namespace) -> list[Cache]:
    return [_cache("--cache-from", text, "src") for text in arguments.cache_from]


def cache_targets(arguments: argparse.Namespace) -> list[Cache]:
    return [_cache("--cache-to", text, "dest") for text in arguments.cache_to]


def caches(arguments: argparse.Namespace) -> dict[str, Any]:
    """Where the cache comes from and goes to."""
    targets = cache_targets(arguments)
    has_inline = os.environ.get("BUILDKIT_INLINE_CACHE") == "1" or "BUILDKIT_INLINE_CACHE=1" in arguments.build_arg
    return {
        "cache_from": [cache.reference for cache in cache_sources(arguments)],
        "cache_to": [[cache.reference, cache.mode == "max"] for cache in targets if cache.kind != "inline"],
        "has_inline_cache": has_inline or any(cache.kind == "inline" for cache in targets),
    }


def _cache(flag: str, text: str, place: str) -> Cache:
    found = options(flag, text) if "=" in text else {"type": "registry", "ref": text}
    kind = found.get("type", "registry")
    if kind not in ("registry", "local", "inline") or (kind == "inline" and flag == "--cache-from"):
        where = (
            "registries (type=registry,ref=REF), directories (type=local) and inside images (--cache-to type=inline)"
        )
        raise Unimplemented(f"{flag} type={kind}: knarr keeps caches in {where}")
    mode = found.get("mode", "min")
    if mode not in ("min", "max"):
        raise Invalid(f"{flag}: mode is min or max, not {mode!r}")
    needed = {"registry": "ref", "local": place}.get(kind, "")
    if needed and not found.get(needed):
        raise Invalid(f"{flag} {text!r} needs {needed}={needed.upper() if kind == 'registry' else 'DIRECTORY'}")
    return Cache(kind, found.get(needed, ""), mode, found.get("tag", ""), found.get("digest", ""))


def outputs(given: list[str]) -> list[dict[str, str]]:
    """What becomes of the result, each with its type."""
    return [_output(text) for text in given]


def _output(text: str) -> dict[str, str]:
    if "=" not in text:
        return {"type": "tar", "dest": "-"} if text == "-" else {"type": "local", "dest": text}
    found = options("--output", text)
    kind = found.setdefault("type", "")
    if kind not in OUTPUTS:
        raise Invalid(f"--output {text!r}: type is one of {', '.join(OUTPUTS)}")
    for name, value in found.items():
        if name not in _OUTPUT_OPTIONS or (name == "tar" and value != "true"):
            raise Unimplemented(f"--output type={kind}: knarr knows no {name}={value}")
    if kind in ("local", "tar", "oci", "docker") and not found.get("dest"):
        if kind == "local":
            raise Invalid("--output type=local needs dest=DIRECTORY")
        found["dest"] = "-"
    return found
