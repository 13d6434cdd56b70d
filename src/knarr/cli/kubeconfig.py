"""The kubeconfig: merges knarr's cluster, user and context into the user's file, switches to it, takes it out again.

The file is $KUBECONFIG's first, else ~/.kube/config of the user who typed the command (also under sudo). It is written
all at once with mode 0600 and keeps everything that is not knarr's.
"""

import base64
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knarr.cli.printing import Failure

Config = dict[str, Any]
SECTIONS = ("clusters", "users", "contexts")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client needs: the server's URL, the CA, and the client's certificate and key, all PEM."""

    server: str
    ca: bytes
    certificate: bytes
    key: bytes


def path(owner_uid: int) -> Path:
    """The kubeconfig file of that user."""
    listed = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if listed:
        return Path(next((part for part in listed if Path(part).exists()), listed[0]))
    home = os.environ.get("HOME") if owner_uid == os.getuid() else None
    return Path(home or pwd.getpwuid(owner_uid).pw_dir) / ".kube" / "config"


def merged(config: Config, name: str, credentials: Credentials) -> Config:
    """The config with knarr's entries put in (replacing namesakes) and its context made the current one."""
    entries = {
        "clusters": {"cluster": {"server": credentials.server, "certificate-authority-data": _base64(credentials.ca)}},
        "users": {
            "user": {
                "client-certificate-data": _base64(credentials.certificate),
                "client-key-data": _base64(credentials.key),
            }
        },
        "contexts": {"context": {"cluster": name, "user": name}},
    }
    result = {"apiVersion": "v1", "kind": "Config", "preferences": {}, **without(config, name)}
    for section in SECTIONS:
        result[section] = [*(result.get(section) or []), {"name": name, **entries[section]}]
    result["current-context"] = name
    return result


def _base64(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def without(config: Config, name: str) -> Config:
    """The config less knarr's entries; the current context is unset if it was knarr's."""
    result = dict(config)
    for section in SECTIONS:
        if section in result:
            result[section] = [entry for entry in result[section] or [] if entry.get("name") != name]
    if result.get("current-context") == name:
        result["current-context"] = ""
    return result


def use(file: Path, context: str) -> str:
    """The context, and what keeps kubectl from using it, if anything does."""
    try:
        config = read(file)
    except (Failure, OSError) as error:
        return f"{context}; kubectl cannot: {error}"
    listed = config.get("contexts")
    if not any(isinstance(entry, dict) and entry.get("name") == context for entry in listed or ()):
        return f"{context}, which {file} does not have: knarr up writes it there"
    current = config.get("current-context") or "none"
    return context if current == context else f"{context}; kubectl uses {current}: kubectl config use-context {context}"


def read(file: Path) -> Config:
    """The file's config; {} if there is none. Raises Failure when it is not a kubeconfig."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise Failure(f"{file} is not a kubeconfig", "it is no text", "mend or move it, then try again") from error
    if not text.strip():
        return {}
    import yaml  # 15 ms: only when there is a file to keep

    try:
        config = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Failure(f"{file} is not YAML", str(error).split("\n")[0], "mend or move it, then try again") from error
    if not isinstance(config, dict):
        raise Failure(f"{file} is not a kubeconfig", "it holds no mapping", "mend or move it, then try again")
    return config


def write(file: Path, config: Config, owner: tuple[int, int]) -> None:
    """Write the config, 0600, owned by (uid, gid), all at once."""
    import yaml  # as in read()

    made = not file.parent.exists()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.knarr-{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w") as stream:
        yaml.safe_dump(config, stream, sort_keys=False)
        stream.flush()
        os.fsync(stream.fileno())
    if os.getuid() == 0:
        for target in [draft, file.parent] if made else [draft]:
            os.chown(target, *owner)
    os.replace(draft, file)
