"""Answer all missing pairs of one part of a model with one engine start.

Example: python workflow/scripts/generate.py --run results/runs/0123456789ab.json --model smollm2_135m --part 0
    --status results/engines/smollm2_135m/0.json --requests results/engines/smollm2_135m/0.requests
    --log results/logs/generate/smollm2_135m.0.log
"""

from snakeval import jobs
from snakeval.errors import run_cli
from snakeval.generation import generate
from snakeval.registry import read_run


def main() -> int:
    """Parse the arguments and generate."""
    parser = jobs.engine_parser(__doc__)
    parser.add_argument("--part", type=int, required=True)
    given = parser.parse_args()
    run, files = read_run(given.run), (given.status, given.requests, given.log)
    return jobs.run_engine(
        given.model, given.log, lambda: generate(run, given.model, given.part, *files)
    )


if __name__ == "__main__":
    run_cli(main, stops_itself=True)
