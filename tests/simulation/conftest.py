"""The sum of what the simulations went through, printed at the end; xdist hands it over in the reports."""

from collections import Counter

import pytest
from _pytest.terminal import TerminalReporter

PROPERTY = "simulated"


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    counts: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            if isinstance(report, pytest.TestReport):
                for name, value in report.user_properties:
                    if name == PROPERTY and isinstance(value, dict):
                        counts.update(value)
    if counts:
        terminalreporter.write_sep("-", "simulated")
        for name, number in sorted(counts.items()):
            terminalreporter.write_line(f"{number:>10,} {name}")
