"""Install llm-compressor into a folder of its own, .quantizer.

Example: python workflow/scripts/quantizer.py
"""

import argparse

from snakeval.errors import run_cli
from snakeval.quantization import environment


def main() -> None:
    """Parse nothing and install."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    environment.install()


if __name__ == "__main__":
    run_cli(main)
