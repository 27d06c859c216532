"""Write docs/datasets.md and docs/models.md from the registry.

Example: python workflow/scripts/docs_pages.py
"""

import argparse
from pathlib import Path

from snakeval.errors import run_cli
from snakeval.records import write_text
from snakeval.registry import page

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Write the pages."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    for name, make in (("datasets", page.datasets), ("models", page.models)):
        write_text(ROOT / "docs" / f"{name}.md", make(ROOT) + "\n")


if __name__ == "__main__":
    run_cli(main)
