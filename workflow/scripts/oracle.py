"""Check that a dataset's reference answers score 1 and wrong ones do not.

Example: python workflow/scripts/oracle.py --run results/runs/0123456789ab.json --dataset humaneval
Without --dataset, the records of all datasets of the run are printed as a table.
"""

from snakeval import jobs, oracle
from snakeval.errors import run_cli
from snakeval.registry import read_run


def main() -> None:
    """Parse the arguments, then check or print."""
    parser = jobs.run_parser(__doc__)
    parser.add_argument("--dataset", help="its name in the registry")
    arguments = parser.parse_args()
    run = read_run(arguments.run)
    if arguments.dataset:
        oracle.write(run, arguments.dataset)
    else:
        oracle.report(run)


if __name__ == "__main__":
    run_cli(main)
