"""Bring one model and its tokenizer here.

    python workflow/scripts/fetch_model.py --run results/runs/0123456789ab.json \\
        --model smollm2_135m --status results/models/smollm2_135m/ba9876543210.json \\
        --log results/logs/fetch_model.log

A model that cannot be had leaves a status with the reason, and the exit code is 0, so that the
other models go on.
"""

import argparse
from pathlib import Path

from snakeval.errors import run_cli
from snakeval.registry import read_run
from snakeval.sources import log_messages, models


def main() -> None:
    """Read the command line and fetch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True, type=Path, help="the resolved run")
    parser.add_argument("--model", required=True, help="its name in the registry")
    parser.add_argument("--status", required=True, type=Path, help="where the status goes")
    parser.add_argument("--log", required=True, type=Path, help="gets a copy of the messages")
    arguments = parser.parse_args()
    log_messages(arguments.log)
    run = read_run(arguments.run)
    models.fetch(arguments.model, run.entry(arguments.model), arguments.status)


if __name__ == "__main__":
    run_cli(main)
