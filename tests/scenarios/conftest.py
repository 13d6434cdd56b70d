"""The option --rewrite of the transcripts."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite", action="store_true", help="put what transcripts print now in place of what they expect"
    )
