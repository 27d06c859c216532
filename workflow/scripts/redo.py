"""Drop everything of a run's pairs, so that the next run makes them anew.

Example: python workflow/scripts/redo.py --run results/runs/0123456789ab.json
"""

import argparse
from pathlib import Path

from snakeval.errors import run_cli
from snakeval.redo import drop
from snakeval.registry import read_run


def main() -> None:
    """Parse the arguments and drop."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="the resolved run")
    arguments = parser.parse_args()
    for line in drop(read_run(arguments.run), Path()):
        print(line)


if __name__ == "__main__":
    run_cli(main)
