"""Whether an emulator is registered, by what binfmt_misc shows."""

from pathlib import Path

import pytest

from knarr.builder import emulation


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: F\n", True),
        ("enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OCF\n", True),
        ("enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: \n", False),
        ("disabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: F\n", False),
        ("", False),
    ],
)
def test_an_emulator_counts_if_it_is_enabled_and_opened_beforehand(tmp_path: Path, text: str, expected: bool) -> None:
    (tmp_path / "qemu-aarch64").write_text(text)
    assert emulation.is_emulated("arm64", tmp_path) is expected
    assert not emulation.is_emulated("s390x", tmp_path)
