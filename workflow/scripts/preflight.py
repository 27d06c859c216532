"""Say what a run will meet and take, before anything is fetched and before a GPU is asked for.

Example: python workflow/scripts/preflight.py --run results/runs/0123456789ab.json
The exit code is 1 where something will surely fail.
"""

from snakeval import jobs, preflight
from snakeval.errors import run_cli
from snakeval.preflight.text import text
from snakeval.registry import read_run


def main() -> int:
    """Parse the arguments, look and print."""
    parser = jobs.run_parser(__doc__)
    found = preflight.look(read_run(parser.parse_args().run))
    print(text(found))
    return 1 if found.problems else 0


if __name__ == "__main__":
    run_cli(main)
