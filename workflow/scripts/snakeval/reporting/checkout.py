"""Which commit of the workflow makes the summary."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[4]


def commit(root: Path = ROOT) -> str | None:
    """Return the commit of a working tree, with "-dirty" where tracked files differ from it.

    None where there is no checkout, or no git that would tell.
    """
    if not (root / ".git").exists():  # git would go on to look in the folders above
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(
            [*command, "--exclude=*"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
