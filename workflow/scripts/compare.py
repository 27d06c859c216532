"""Compare the summary that the last run left with an earlier one, its baseline.

Example: python workflow/scripts/compare.py --run results/runs/0123456789ab.json \\
         --summary results/summary --output-folder reports
The exit code is 1 where the run's setting fail_on_regression is true and a pair is significantly worse.
"""

import sys
from pathlib import Path

from snakeval import jobs
from snakeval.errors import run_cli
from snakeval.registry import read_run
from snakeval.reporting import comparing


def main() -> int:
    """Parse the arguments, compare and print."""
    parser = jobs.run_parser(__doc__)
    parser.add_argument("--summary", type=Path, required=True, help="the folder of its summary")
    parser.add_argument("--output-folder", type=Path, required=True)
    parser.add_argument("--chosen", action="store_true", help="look at the run's pairs only")
    arguments = parser.parse_args()
    run, output = read_run(arguments.run), arguments.output_folder
    settings = run.settings
    chosen = {(pair.model, pair.dataset) for pair in run.pairs} if arguments.chosen else None
    record = comparing.write(str(settings["baseline"]), arguments.summary, output, chosen)
    print(f"{comparing.table(record)}\nAll of it: {output}/compare.md, {output}/compare.json")
    lost = comparing.regression(record) if settings["fail_on_regression"] else None
    if lost:
        print(f"error: {lost}", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    run_cli(main)
