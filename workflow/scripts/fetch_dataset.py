"""Bring one dataset here and normalise it.

    python workflow/scripts/fetch_dataset.py --run results/runs/0123456789ab.json \\
        --dataset humaneval --samples results/datasets/humaneval/ba9876543210.jsonl \\
        --status results/datasets/humaneval/ba9876543210.json \\
        --log results/logs/fetch_dataset.log

A dataset that cannot be had leaves an empty samples file and a status with the reason, and the
exit code is 0, so that the other datasets go on.
"""

import argparse
from pathlib import Path

from snakeval.errors import run_cli
from snakeval.registry import read_run
from snakeval.sources import datasets, log_messages


def main() -> None:
    """Read the command line and fetch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True, type=Path, help="the resolved run")
    parser.add_argument("--dataset", required=True, help="its name in the registry")
    parser.add_argument("--samples", required=True, type=Path, help="where the samples go")
    parser.add_argument("--status", required=True, type=Path, help="where the status goes")
    parser.add_argument("--log", required=True, type=Path, help="gets a copy of the messages")
    arguments = parser.parse_args()
    log_messages(arguments.log)
    run = read_run(arguments.run)
    datasets.fetch(
        arguments.dataset,
        run.datasets[arguments.dataset],
        run.settings["data_dir"],
        arguments.samples,
        arguments.status,
    )


if __name__ == "__main__":
    run_cli(main)
