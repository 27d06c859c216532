"""Take away the lock that a killed Snakemake left in this folder, if none runs here.

Example: python workflow/scripts/unlock.py
"""

import fcntl
import subprocess
import sys
from pathlib import Path

from snakeval.errors import run_cli

RUNNING = Path("results/.running")  # every Snakemake that runs here holds it; see snakeval.at_work


def main() -> int:
    """Unlock, unless there is nothing to unlock or another Snakemake is at work."""
    locks = Path(".snakemake/locks")
    if not (locks.is_dir() and any(locks.iterdir())):
        return 0
    RUNNING.parent.mkdir(exist_ok=True)
    with RUNNING.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                "error: another Snakemake is at work in this folder; wait for it.", file=sys.stderr
            )
            return 2
    print("A run that was killed left a lock here; taking it away.")
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--unlock", "--quiet"], check=False
    ).returncode


if __name__ == "__main__":
    run_cli(main)
