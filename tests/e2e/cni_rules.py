"""The rules that the CNI plugins of one network write for their pods: seen, and removed when their pods were not.

The bridge plugin masquerades each pod by a jump and a chain in the nat table of iptables, every rule with the network's
name as its comment. It takes a pod's away with the pod, the table never. Rules of other networks are not touched.
"""

import re
import shlex
import subprocess


def left(network: str) -> list[str]:
    """The network's rules, as iptables-save prints them."""
    mark = re.compile(rf'--comment "name: \\"{re.escape(network)}\\" id: ')
    return [line for line in _run("iptables-save", "-t", "nat").splitlines() if mark.search(line)]


def remove(network: str) -> None:
    """All of the network's rules, and the chains that held them."""
    rules = [shlex.split(line) for line in left(network)]
    for _, chain, *words in rules:
        _run("iptables", "-w", "-t", "nat", "-D", chain, *words)
    for chain in {chain for _, chain, *_ in rules if chain.startswith("CNI-")}:
        _run("iptables", "-w", "-t", "nat", "-X", chain)


def has_table() -> bool:
    """Whether nft has the table that iptables writes; reading it makes none."""
    return "table ip nat" in _run("nft", "list", "tables").splitlines()


def remove_table() -> None:
    """The table with its chains. One that somebody has rules in stays: nft deletes no chain that holds any."""
    chains = re.findall(r"^\tchain (\S+) \{", _run("nft", "list", "table", "ip", "nat"), re.MULTILINE)
    commands = [*(f"delete chain ip nat {chain}" for chain in chains), "delete table ip nat"]
    subprocess.run(["nft", "; ".join(commands)], capture_output=True, timeout=30, check=False)


def _run(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout
