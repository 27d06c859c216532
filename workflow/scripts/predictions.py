"""Write a pair's predictions from the journal.

Example: python workflow/scripts/predictions.py --run results/runs/0123456789ab.json
    --model smollm2_135m --dataset humaneval
"""

from snakeval import jobs
from snakeval.errors import run_cli
from snakeval.predictions import write_predictions


def main() -> None:
    """Parse the arguments and write the files."""
    jobs.run_for_pair(__doc__, write_predictions)


if __name__ == "__main__":
    run_cli(main)
