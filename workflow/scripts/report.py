"""Show a run's tables, figures and samples on one page.

Example: python workflow/scripts/report.py --run results/runs/0123456789ab.json --summary results/summary
    --output-folder reports
"""

from pathlib import Path

from snakeval import jobs
from snakeval.errors import run_cli
from snakeval.registry import read_run
from snakeval.reporting import report


def main() -> None:
    """Parse the arguments and write the report."""
    parser = jobs.run_parser(__doc__)
    parser.add_argument("--summary", type=Path, required=True, help="the folder of the tables")
    parser.add_argument("--output-folder", type=Path, required=True)
    arguments = parser.parse_args()
    report(read_run(arguments.run), Path(), arguments.summary, arguments.output_folder)


if __name__ == "__main__":
    run_cli(main)
