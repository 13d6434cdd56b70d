#!/usr/bin/env python3
"""Write a root file system made of this machine's installed Debian packages, and what they depend on, as a tar file.

    rootfs.py -o rootfs.tar python3 dash

A base image without a network: dpkg knows the files of every package, and the files are here. Configuration that
packages made when they were installed, and documentation, are left out.
"""

import argparse
import os
import re
import subprocess
import sys
import tarfile

LEFT_OUT = ("/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/", "/usr/share/info/", "/usr/share/lintian/",
            "/usr/share/bug/", "/usr/share/pixmaps/", "/usr/share/applications/", "/var/", "/etc/")  # fmt: skip
NOT_FOLLOWED = {"debconf", "dpkg", "install-info", "perl-base", "perl", "tar", "media-types", "debianutils"}
"""What packages need to be installed or configured, not to run."""
MERGED = ("bin", "sbin", "lib", "lib64")
QUERY = "${binary:Package}\t${Provides}\t${Pre-Depends}, ${Depends}\t${db:Status-Status}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--without", action="append", default=[], help="a package to leave out, with what it needs")
    parser.add_argument("packages", nargs="+")
    arguments = parser.parse_args()
    chosen = closure(arguments.packages, NOT_FOLLOWED | set(arguments.without))
    write(files(chosen), arguments.output)
    print(f"{arguments.output}: {len(chosen)} packages: {' '.join(sorted(chosen))}", file=sys.stderr)


def closure(wanted: list[str], left_out: set[str]) -> set[str]:
    """The packages and everything installed that they depend on."""
    depends, providers = {}, {}
    for line in output("dpkg-query", "-W", "-f", QUERY).splitlines():
        package, provides, needs, status = line.split("\t")
        if status != "installed":
            continue
        depends[package] = needs
        for name in [package.partition(":")[0], *names(provides)]:
            providers.setdefault(name, package)
    found, pending = set(), list(wanted)
    while pending:
        name = pending.pop()
        if name not in providers:
            raise SystemExit(f"package {name} is not installed: apt-get install {name}")
        package = providers[name]
        if package in found:
            continue
        found.add(package)
        for group in depends[package].split(","):
            installed = [name for name in names(group.replace("|", ",")) if name in providers]
            if installed and installed[0] not in left_out:
                pending.append(installed[0])
    return found


def names(text: str) -> list[str]:
    """`libc6 (>= 2.36), zlib1g:any` → libc6, zlib1g."""
    return [re.split(r"[ :(]", part.strip())[0] for part in text.split(",") if part.strip()]


def files(packages: set[str]) -> list[str]:
    listed = output("dpkg-query", "-L", *sorted(packages)).splitlines()
    found = {os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
             for path in listed if path.startswith("/") and path != "/."}  # fmt: skip
    return sorted(path for path in found if not f"{path}/".startswith(LEFT_OUT) and os.path.lexists(path))


def write(paths: list[str], target: str) -> None:
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in MERGED:
            if os.path.islink(f"/{name}"):
                archive.add(f"/{name}", name, filter=owned_by_root)
        for name in ("etc", "tmp", "root", "var", "proc", "sys", "dev", "run"):
            member = tarfile.TarInfo(name)
            member.type, member.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(member)
        for path in paths:
            if not (os.path.islink(path) and path[1:] in MERGED):
                archive.add(path, path[1:], recursive=False, filter=owned_by_root)


def owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
