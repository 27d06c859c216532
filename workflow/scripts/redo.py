"""Drop everything of a run's pairs, so that the next run makes them anew.

Example: python workflow/scripts/redo.py --run results/runs/0123456789ab.json
"""

from snakeval import jobs
from snakeval.errors import run_cli
from snakeval.redo import drop


def main() -> None:
    """Parse the arguments and drop."""
    jobs.tell(__doc__, drop)


if __name__ == "__main__":
    run_cli(main)
