"""Judge all conversations that lack the judge's verdicts with one engine start.

Example: python workflow/scripts/judge.py --run results/runs/0123456789ab.json --model qwen3_14b
    --status results/engines/qwen3_14b/judge.json --requests results/engines/qwen3_14b/judge.requests
    --log results/logs/judge/qwen3_14b.log
"""

from snakeval import jobs
from snakeval.errors import run_cli
from snakeval.judging import judge
from snakeval.registry import read_run


def main() -> int:
    """Parse the arguments and judge."""
    given = jobs.engine_parser(__doc__).parse_args()
    run, files = read_run(given.run), (given.status, given.requests, given.log)
    return jobs.run_engine(given.model, given.log, lambda: judge(run, given.model, *files))


if __name__ == "__main__":
    run_cli(main, stops_itself=True)
