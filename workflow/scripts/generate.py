"""Answer all missing pairs of one part of a model with one engine start.

Example: python workflow/scripts/generate.py --run results/runs/0123456789ab.json --model smollm2_135m --part 0
    --status results/engines/smollm2_135m/0.json --requests results/engines/smollm2_135m/0.requests
    --log results/logs/generate/smollm2_135m.0.log
"""

import argparse
import contextlib
import logging
import sys
from pathlib import Path

from snakeval.answering import Stopped
from snakeval.errors import SnakevalError, run_cli
from snakeval.generation import generate
from snakeval.records import write_text
from snakeval.registry import read_run


def main() -> int:
    """Parse the arguments and generate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="the resolved run")
    parser.add_argument("--model", required=True)
    parser.add_argument("--part", type=int, required=True)
    parser.add_argument(
        "--status", type=Path, required=True, help="status per pair, written at the end"
    )
    parser.add_argument(
        "--requests", type=Path, required=True, help="folder for the requests of each pair"
    )
    parser.add_argument("--log", type=Path, required=True, help="what this job and its engine say")
    arguments = parser.parse_args()
    write_text(arguments.log, "")  # begun anew, then added to by this job and its engine
    logging.basicConfig(
        filename=arguments.log, level=logging.INFO, format="%(asctime)s %(message)s"
    )
    try:
        generate(
            read_run(arguments.run),
            arguments.model,
            arguments.part,
            arguments.status,
            arguments.requests,
            arguments.log,
        )
    except Stopped as reason:
        print(
            f"{arguments.model}: stopped ({reason}); what was answered is kept, the same command goes on from here",
            file=sys.stderr,
        )
        return 143
    except SnakevalError as error:
        # The end of the run tells the reason from the log; a full disk may be what it is about.
        with contextlib.suppress(OSError), arguments.log.open("a", encoding="utf-8") as file:
            file.writelines(f"error: {line}\n" for line in str(error).splitlines())
        raise
    return 0


if __name__ == "__main__":
    run_cli(main)
