"""Take away the lock that a killed Snakemake left in this folder, if none runs here.

Example: python workflow/scripts/unlock.py
"""

import subprocess
import sys
from pathlib import Path

from snakeval.at_work import RUNNING, has_snakemake_lock, locked
from snakeval.errors import run_cli


def main() -> int:
    """Unlock, unless there is nothing to unlock or another Snakemake is at work."""
    if not has_snakemake_lock(Path()):
        return 0
    RUNNING.parent.mkdir(exist_ok=True)
    with RUNNING.open("a") as file:
        if not locked(file.fileno()):
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
