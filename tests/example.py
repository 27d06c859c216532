"""Make docs/example from the report that is in `reports`: a copy of it, and pictures of it in a real browser.

Example: .venv/bin/python tests/example.py --reports reports --output-folder docs/example
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
PICTURES = {  # name → width and height in pixels, colours
    "desktop-light": (1280, 1000, "light"),
    "desktop-dark": (1280, 1000, "dark"),
    "phone-light": (390, 844, "light"),
}
PARTS = ("index.html", "report.md", "figures", "samples")


def main() -> None:
    """Parse the arguments and make the example."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    parser.add_argument("--output-folder", type=Path, default=Path("docs/example"))
    arguments = parser.parse_args()
    output: Path = arguments.output_folder
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    for name in PARTS:
        part = arguments.reports / name
        (shutil.copytree if part.is_dir() else shutil.copy)(part, output / name)
    photograph(output)


def photograph(folder: Path) -> None:
    """Write a picture of the report's top for each of `PICTURES`."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, (width, height, colours) in PICTURES.items():
            size = {"width": width, "height": height}
            page = browser.new_page(viewport=size, color_scheme=colours, reduced_motion="reduce")
            page.goto((folder / "index.html").resolve().as_uri())
            page.wait_for_timeout(1000)  # figures are drawn after the page is there
            page.screenshot(path=folder / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
