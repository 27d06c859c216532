"""Judge a pair's predictions.

Example: python workflow/scripts/score.py --run results/runs/0123456789ab.json --model smollm2_135m
    --dataset humaneval
"""

import argparse
from pathlib import Path

from snakeval.errors import run_cli
from snakeval.registry import read_run
from snakeval.scoring import write_scores


def main() -> None:
    """Parse the arguments and write the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="the resolved run")
    parser.add_argument("--model", required=True)
    parser.add_argument("--dataset", required=True)
    arguments = parser.parse_args()
    run = read_run(arguments.run)
    write_scores(run, run.pair(arguments.model, arguments.dataset))


if __name__ == "__main__":
    run_cli(main)
