"""Write down the commits that the chosen models and datasets are at now; later runs take these.

Example: python workflow/scripts/lock.py --run results/runs/0123456789ab.json
"""

from snakeval import jobs
from snakeval.errors import run_cli
from snakeval.locking import resolve


def main() -> None:
    """Parse the arguments and lock."""
    jobs.tell(__doc__, resolve)


if __name__ == "__main__":
    run_cli(main)
