"""List the predictions that no configuration yields any more; remove them where the configuration says confirm.

Example: python workflow/scripts/prune.py --config '{"confirm": true}'
"""

import argparse
import json
from pathlib import Path

from snakeval.errors import run_cli
from snakeval.prune import prune


def main() -> None:
    """Parse the arguments and prune."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config",
        type=json.loads,
        required=True,
        help="what --configfile and --config give, as JSON",
    )
    for line in prune(parser.parse_args().config, Path()):
        print(line)


if __name__ == "__main__":
    run_cli(main)
