"""/livez and /readyz: which checks, why one fails, what is excluded."""

import pytest

from tests.unit.apiserver.conftest import Asker


async def text(ask: Asker, target: str) -> tuple[int, str]:
    response = await ask.send("GET", target)
    assert isinstance(response.body, bytes)
    return response.status, response.body.decode()


@pytest.fixture
def ill(ask: Asker) -> Asker:
    ask.server.ready_checks |= {"store": lambda: "no room on its disk", "controllers": lambda: None}
    return ask


async def test_what_fails_says_why_and_what_lives_lives(ill: Asker) -> None:
    assert await text(ill, "/livez") == (200, "ok")
    assert await text(ill, "/readyz") == (
        500,
        "[+]ping ok\n[-]store failed: no room on its disk\n[+]controllers ok\nreadyz check failed\n",
    )


async def test_a_check_is_asked_alone_or_left_out(ill: Asker) -> None:
    assert await text(ill, "/readyz/controllers") == (200, "ok")
    assert (await text(ill, "/readyz/none"))[0] == 404
    assert await text(ill, "/readyz?verbose&exclude=store&exclude=none") == (
        200,
        "[+]ping ok\n[+]store excluded: ok\n[+]controllers ok\n"
        "warn: some health checks cannot be excluded: no matches for ['none']\nreadyz check passed\n",
    )
