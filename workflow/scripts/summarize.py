"""Put the results of a run's pairs into tables.

Example: python workflow/scripts/summarize.py --run results/runs/0123456789ab.json --output-folder results/summary
"""

from pathlib import Path

from snakeval import jobs
from snakeval.errors import run_cli
from snakeval.registry import read_run
from snakeval.reporting import summarize


def main() -> None:
    """Parse the arguments and summarize."""
    parser = jobs.run_parser(__doc__)
    parser.add_argument("--output-folder", type=Path, required=True)
    arguments = parser.parse_args()
    summarize(read_run(arguments.run), Path(), arguments.output_folder)


if __name__ == "__main__":
    run_cli(main)
