"""Show which of a run's pairs are done, missing, failed or running, and what the rest takes.

Example: python workflow/scripts/status.py --run results/runs/0123456789ab.json
"""

import os
from pathlib import Path

from snakeval import jobs, leash, status
from snakeval.errors import run_cli
from snakeval.registry import read_run
from snakeval.status import processes
from snakeval.status.text import text


def main() -> None:
    """Parse the arguments, look and print."""
    run = read_run(jobs.run_parser(__doc__).parse_args().run)
    asker = os.environ.get(leash.VARIABLE)
    print(text(status.look(run, Path()), processes.named(int(asker)) if asker else None))


if __name__ == "__main__":
    run_cli(main)
