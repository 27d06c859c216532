"""Judge a pair's predictions.

Example: python workflow/scripts/score.py --run results/runs/0123456789ab.json --model smollm2_135m
    --dataset humaneval --key 0123456789ab --samples results/datasets/humaneval/0123456789ab.jsonl
    --predictions results/pairs/smollm2_135m/humaneval/0123456789ab/predictions.jsonl
    --output-folder results/pairs/smollm2_135m/humaneval/0123456789ab/score-0123456789ab
"""

import argparse
from pathlib import Path

from snakeval.errors import StorageError, run_cli
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
    parser.add_argument("--key", required=True, help="the pair's key, which the run must agree to")
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--predictions", type=Path, required=True)
    parser.add_argument("--output-folder", type=Path, required=True)
    arguments = parser.parse_args()
    run = read_run(arguments.run)
    pair = run.pair(arguments.model, arguments.dataset)
    if pair.key != arguments.key:
        raise StorageError(
            f"pair {pair.model}/{pair.dataset}",
            f"key {arguments.key}",
            f"{pair.key}, its key in {arguments.run}",
            "Give the run that the predictions were made for.",
        )
    write_scores(
        run,
        pair.model,
        pair.dataset,
        arguments.samples,
        arguments.predictions,
        arguments.output_folder,
    )


if __name__ == "__main__":
    run_cli(main)
