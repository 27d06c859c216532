"""Report on what is there after a run in which something failed, and let the next run try the rest again.

Example: python workflow/scripts/close_run.py --run results/runs/0123456789ab.json --since 0
"""

import sys
from pathlib import Path

from snakeval import jobs
from snakeval.closing import close
from snakeval.errors import run_cli
from snakeval.registry import read_run


def main() -> None:
    """Parse the arguments and close the run."""
    parser = jobs.run_parser(__doc__)
    parser.add_argument(
        "--since",
        type=float,
        required=True,
        help="when it started, in seconds: older logs say nothing",
    )
    arguments = parser.parse_args()
    for line in close(read_run(arguments.run), Path(), arguments.since):
        print(line, file=sys.stderr)


if __name__ == "__main__":
    run_cli(main)
