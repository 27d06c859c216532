"""What a fetch says goes to the terminal and to its log; progress bars to the terminal only."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from snakeval.sources import log_messages
log_messages(Path(sys.argv[2]))
from tqdm import tqdm
print("a message", file=sys.stderr)
for _ in tqdm(range(3), desc="a bar"):
    pass
print("another", file=sys.stderr)
"""


def test_a_pipe_gets_messages_and_no_bar(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "fetch.log"
    command = [sys.executable, "-c", PROGRAM, str(SCRIPTS), str(log)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == log.read_text() == "a message\nanother\n"


def test_a_terminal_gets_the_bar_too(tmp_path: Path) -> None:
    log = tmp_path / "fetch.log"
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (25, 80))  # a bar is as wide as its terminal: nothing, at first
    command = [sys.executable, "-c", PROGRAM, str(SCRIPTS), str(log)]
    subprocess.run(command, stderr=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "a message" in shown
    assert "a bar: 100%" in shown
    assert "a message" in log.read_text()
    assert "a bar" not in log.read_text()
