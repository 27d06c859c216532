"""Write a pair's predictions from the journal.

Example: python workflow/scripts/predictions.py --run results/runs/0123456789ab.json --model smollm2_135m
    --dataset humaneval --key 0123456789ab --status results/engines/smollm2_135m/0.json
    --requests results/engines/smollm2_135m/0.requests
    --output-folder results/pairs/smollm2_135m/humaneval/0123456789ab
"""

import argparse
from pathlib import Path

from snakeval.errors import run_cli
from snakeval.predictions import write_predictions
from snakeval.registry import read_run


def main() -> None:
    """Parse the arguments and write the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="the resolved run")
    parser.add_argument("--model", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--status", type=Path, required=True, help="the engine's status file")
    parser.add_argument("--requests", type=Path, required=True, help="the engine's requests folder")
    parser.add_argument("--output-folder", type=Path, required=True)
    arguments = parser.parse_args()
    run = read_run(arguments.run)
    pair = run.pair(arguments.model, arguments.dataset)
    write_predictions(run, pair, arguments.status, arguments.requests, arguments.output_folder)


if __name__ == "__main__":
    run_cli(main)
