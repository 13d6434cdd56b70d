"""A fresh store for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.images.made import Made, made


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Made]:
    fresh = made(tmp_path)
    yield fresh
    fresh.content.close()
