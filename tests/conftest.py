"""Workers share the cores, the longest files come first, and what tests have counted is shown at the end."""

from __future__ import annotations

import os
from collections import Counter

import pytest

# Workers and engines share the cores: threads that wait must not keep the others from working.
os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
if "PYTEST_XDIST_WORKER" in os.environ:
    # An engine with a thread on each core waits at every step for the one that another worker holds up.
    os.environ |= {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}

LONG = (
    "vllm",
    "slurm",
    "faults",
    "workflow",
)  # markers of files that take minutes, the longest first


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the workers begin with the files that take longest, so that they end together."""
    classes = {
        item.path: number
        for number, name in reversed(list(enumerate(LONG)))
        for item in items
        if item.get_closest_marker(name)
    }
    tests = Counter(item.path for item in items if item.path in classes)
    items.sort(key=lambda item: (classes.get(item.path, len(LONG)), -tests[item.path]))


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
