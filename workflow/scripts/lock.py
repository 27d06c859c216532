"""Write down the commits that the chosen models and datasets are at now; later runs take these.

Example: python workflow/scripts/lock.py --run results/runs/0123456789ab.json
"""

import argparse
from pathlib import Path

from snakeval.errors import run_cli
from snakeval.locking import resolve
from snakeval.registry import read_run


def main() -> None:
    """Parse the arguments and lock."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="the resolved run")
    arguments = parser.parse_args()
    for line in resolve(read_run(arguments.run), Path()):
        print(line)


if __name__ == "__main__":
    run_cli(main)
