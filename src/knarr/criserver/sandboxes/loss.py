"""A sandbox whose process ends (pause.py): not ready any more, its address and namespaces let go.

The kernel ends every process of the namespace with its first one, and nothing can be started in it again. The kubelet
hears of it by an event and makes a new sandbox.
"""

import asyncio

from msgspec.structs import replace

from knarr.base import logs
from knarr.cri.messages.enums import ContainerEventType
from knarr.criserver.containers import status
from knarr.criserver.node import Node
from knarr.criserver.records import SandboxRecord
from knarr.criserver.sandboxes import pause, teardown

_log = logs.log("criserver")


def watch(node: Node, record: SandboxRecord) -> None:
    """Begin to wait for the end of the sandbox's process."""
    process = pause.identity(record.id)
    node.watches[process] = asyncio.create_task(_note_end(node, record), name=f"sandbox {record.id[:12]}")


def is_ready(node: Node, identity: str) -> bool:
    """Whether containers can be started in the sandbox: the record's word and, of its process, the kernel's.

    The process can be dead a moment before the record knows.
    """
    record = node.sandboxes.find(identity)
    return record is not None and record.is_ready and has_process(node, record)


def has_process(node: Node, record: SandboxRecord) -> bool:
    """Whether the process that the sandbox needs, if any, still runs."""
    return record.pause is None or node.runtime.is_alive(record.pause)


async def lost(node: Node, record: SandboxRecord) -> None:
    """Note that the sandbox is of no use any more; what is in its directories goes with its removal."""
    await teardown.end(node, record)
    _log.warning("lost a sandbox %s", logs.fields(sandbox=record.id))
    status.publish_sandbox(node, replace(record, is_ready=False), ContainerEventType.CONTAINER_STOPPED_EVENT)


async def _note_end(node: Node, record: SandboxRecord) -> None:
    await node.runtime.wait(pause.identity(record.id))
    async with node.locks[record.id]:
        current = node.sandboxes.find(record.id)
        if current is not None and current.is_ready:
            await lost(node, current)
