"""Files whose last whole line counts."""

from pathlib import Path

from knarr.base import lines


def test_the_newest_line_comes_first_and_a_torn_one_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "value"
    assert list(lines.latest(path)) == []
    lines.append(path, b"one")
    lines.append(path, b"two")
    with path.open("ab") as file:
        file.write(b"\ntorn")
    assert list(lines.latest(path)) == [b"two", b"one"]
    lines.append(path, b"three")
    assert next(lines.latest(path)) == b"three"
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_cut_of_a_file_reads_as_one_of_its_values(tmp_path: Path) -> None:
    path = tmp_path / "value"
    for value in (b"one", b"two", b"three"):
        lines.append(path, value)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert next(lines.latest(path), b"") in (b"", b"one", b"two")


def test_a_long_file_is_replaced_by_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "value"
    for number in range(5):
        lines.append(path, str(number).encode() * (lines.LENGTH_MAX // 4))
    assert path.stat().st_size < lines.LENGTH_MAX
    assert next(lines.latest(path)).startswith(b"4")
    assert [entry.name for entry in tmp_path.iterdir()] == ["value"]
