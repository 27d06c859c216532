"""Make one quantized model, or show what was made.

    python workflow/scripts/quantize.py --run results/runs/0123456789ab.json \\
        --model smollm2_135m_awq --status results/models/smollm2_135m_awq/ba9876543210.json \\
        --packages .quantizer --log results/logs/quantize.log

A model that cannot be made leaves a status with the reason, and the exit code is 0, so that the
other models go on. Without --model, a line is printed about each model of the run that was made.
"""

import sys
from pathlib import Path

from snakeval import jobs
from snakeval.errors import run_cli
from snakeval.quantization import making
from snakeval.registry import read_run
from snakeval.sources import log_messages


def main() -> None:
    """Parse the arguments, then make or print."""
    parser = jobs.run_parser(__doc__)
    parser.add_argument("--model", help="its name in the registry")
    parser.add_argument("--status", type=Path, help="where its status goes")
    parser.add_argument("--packages", type=Path, help="the folder that llm-compressor lies in")
    parser.add_argument("--log", type=Path, help="gets a copy of the messages")
    arguments = parser.parse_args()
    run = read_run(arguments.run)
    if arguments.model:
        sys.path.insert(0, str(arguments.packages))  # before the workflow's own transformers
        jobs.work_offline()
        log_messages(arguments.log)
        making.make(run, arguments.model, arguments.status)
    else:
        for line in making.summary(run):
            print(line)


if __name__ == "__main__":
    run_cli(main)
