"""Judge a pair's predictions.

Example: python workflow/scripts/score.py --run results/runs/0123456789ab.json
    --model smollm2_135m --dataset humaneval
"""

from snakeval import jobs
from snakeval.errors import run_cli
from snakeval.scoring import write_scores


def main() -> None:
    """Parse the arguments and write the files."""
    jobs.run_for_pair(__doc__, write_scores)


if __name__ == "__main__":
    run_cli(main)
