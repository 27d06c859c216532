"""Write the judge's verdicts on a pair from the journal.

Example: python workflow/scripts/verdicts.py --run results/runs/0123456789ab.json
    --model smollm2_135m --dataset mt_bench
"""

from snakeval import jobs
from snakeval.errors import run_cli
from snakeval.judging import write_verdicts


def main() -> None:
    """Parse the arguments and write the files."""
    jobs.run_for_pair(__doc__, write_verdicts)


if __name__ == "__main__":
    run_cli(main)
