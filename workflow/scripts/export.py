"""Write the finished pairs of a run in the formats of lm-evaluation-harness, inspect_ai and the hub's model cards.

Example: python workflow/scripts/export.py --run results/runs/0123456789ab.json --output-folder reports/export
"""

from pathlib import Path

from snakeval import jobs
from snakeval.errors import run_cli
from snakeval.registry import read_run
from snakeval.reporting.twins import export


def main() -> None:
    """Parse the arguments and export."""
    parser = jobs.run_parser(__doc__)
    parser.add_argument("--output-folder", type=Path, required=True)
    arguments = parser.parse_args()
    for line in export(read_run(arguments.run), Path(), arguments.output_folder):
        print(line)


if __name__ == "__main__":
    run_cli(main)
