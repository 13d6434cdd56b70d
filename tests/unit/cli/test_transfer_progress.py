"""A bar for each layer fits the terminal and says how far it is."""

from knarr.cli.transfer_progress import bars

LAYER = "sha256:0123456789abcdef"


def layer(stage: str, done: int, size: int) -> dict[str, object]:
    return {"layer": LAYER, "stage": stage, "done": done, "size": size}


def test_a_layer_on_its_way_has_a_bar() -> None:
    assert bars([layer("downloading", 2_000_000, 4_000_000)], 100, 24) == [
        f"0123456789ab  downloading  [{'=' * 19}>{' ' * 20}] 2MB/4MB"
    ]


def test_what_is_done_or_here_has_its_size_alone() -> None:
    assert bars([layer("exists", 5, 5), layer("done", 0, 0)], 100, 24) == [
        "0123456789ab  exists       5B",
        "0123456789ab  done         0B",
    ]


def test_a_narrow_terminal_has_no_bar_and_no_line_breaks() -> None:
    assert bars([layer("uploading", 1, 2)], 30, 24) == ["0123456789ab  uploading    1B/"]
    assert all(len(line) <= width for width in range(1, 120) for line in bars([layer("uploading", 1, 2)], width, 24))


def test_a_low_terminal_counts_what_it_does_not_show() -> None:
    shown = bars([layer("done", 1, 1)] * 5 + [layer("uploading", 1, 2)] * 5, 100, 6)
    assert len(shown) == 5
    assert shown[-1] == "and 6 more, 1 of them done"
