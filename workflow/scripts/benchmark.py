"""Measure how fast a model answers, or show what was measured.

Example: python workflow/scripts/benchmark.py --run results/runs/0123456789ab.json --model smollm2_135m
    --log results/logs/benchmark/smollm2_135m.log
Without --model, the records of all models of the run are printed as a table.
"""

from pathlib import Path

from snakeval import benchmark, jobs
from snakeval.errors import run_cli
from snakeval.records import write_text
from snakeval.registry import read_run


def main() -> None:
    """Parse the arguments, then measure or print."""
    parser = jobs.run_parser(__doc__)
    parser.add_argument("--model", help="its name in the registry")
    parser.add_argument("--log", type=Path, help="what its engine says")
    arguments = parser.parse_args()
    run = read_run(arguments.run)
    if arguments.model:
        jobs.work_offline()
        write_text(arguments.log, "")  # begun anew
        benchmark.measure(run, arguments.model, arguments.log)
    else:
        print(benchmark.table(run))


if __name__ == "__main__":
    run_cli(main)
