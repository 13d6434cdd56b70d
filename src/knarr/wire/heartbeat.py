"""Notices that a peer has vanished while it is held back.

Who does not read does not see the other side's end, and a peer that is killed while it floods us cannot even tell: its
end waits behind bytes for which there is no room. So whoever holds it back sends it something now and then; a kernel
whose program is gone answers with a reset. The *beat* must not ask for an answer: a peer that is busy sending would
wait with it, and read no more until then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

BEAT_SECONDS: Final = 2.0
"""The first beat is answered by a reset, the second meets it, the third is refused: three of these to the end."""

Beat = Callable[[], Awaitable[None]]


async def until(taken: asyncio.Event, beat: Beat, seconds: float = BEAT_SECONDS) -> None:
    """Wait for the event; what `beat` raises when the peer is gone ends it, too."""
    while not taken.is_set():
        try:
            async with asyncio.timeout(seconds):
                await taken.wait()
        except TimeoutError:
            await _either(taken, beat)


async def _either(taken: asyncio.Event, beat: Beat) -> None:
    """Beat; a beat for which there is no room at the peer's is given up once there is room here."""
    beating, waiting = asyncio.ensure_future(beat()), asyncio.ensure_future(taken.wait())
    try:
        await asyncio.wait({beating, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if beating.done():
            beating.result()
    finally:
        for task in (beating, waiting):
            task.cancel()
        await asyncio.gather(beating, waiting, return_exceptions=True)
