"""What tests have counted is shown at the end of every run."""

from __future__ import annotations

import os

import pytest

# Workers and engines share the cores: threads that wait must not keep the others from working.
os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts = [
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "counts" and report.when == "call"
    ]
    if counts:
        terminalreporter.section("counts")
        for line in sorted(counts):
            terminalreporter.write_line(line)
