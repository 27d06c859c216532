"""Kills at random moments of the whole workflow: the next runs make what an undisturbed one makes, and no more.

The moments are drawn over the length that each phase has on this machine; a failure shows its seed and its kills.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import chain, repeat
from pathlib import Path

import pytest
from killing import (
    LAST,
    Kill,
    Planned,
    answered,
    at_work,
    disturb,
    journals,
    requests,
    started,
    unlock,
)
from process_table import seconds_until
from workflow_copy import Workflow, made, row

pytestmark = pytest.mark.faults

# The runs of one folder, each with its kills. "last" stands for any victim that ends the run. An engine and a
# sandbox are killed once a run: whoever is at work under two deaths is taken for their cause.
ROUND = (
    (("generate", "engine"), ("generate", "job"), ("generate", "last")),
    (("generate", "engine"), ("generate", "job"), ("generate", "last")),
    (("predictions", "job"), ("score", "sandbox"), ("score", "last")),
    (("score", "sandbox"), ("score", "job"), ("score", "last")),
    (("summarize", "job"), ("close_run", "last")),
    (("summarize", "last"),),
    (("report", "job"), ("close_run", "job")),
    (("report", "last"),),
)
KILLS = 17  # a seed, three seeds
HIT = {"generate", "score", "summarize", "report"}  # at least once a seed
# What may differ from an undisturbed run, and why.
VARIES = {
    "results/journal/*": "order of answers and names of engine starts; looked at on their own",
    "results/logs/*": "what happened",
    "results/.making": "which run was the last",
    "results/history/*": "which reports there were",
    "*/meta.json": "seconds and engine starts",
    "*/score-*/timings.jsonl": "seconds",
    "results/summary/performance.csv": "seconds",
    "results/summary/models.csv": "seconds",
    "results/summary/provenance.json": "times of engine starts",
    "reports/index.html": "shows seconds and earlier reports",
    "reports/report.md": "shows seconds and earlier reports",
    "reports/figures/*_speed.svg": "shows seconds, which an engine start that was killed does not tell",
}


def prepared(base: Path) -> Workflow:
    """Return two models on one dataset, slow enough to be hit at work; temporary files have a folder."""
    workflow = made(base)
    workflow.models = {name: workflow.models[name] for name in ("alpha", "beta")}
    workflow.datasets = {"first": workflow.datasets["first"]}
    right, slow = "SOLVE:def f(x):;return x", "SOLVE:def f(x):;import time;time.sleep(1);return x"
    workflow.rows(
        "first", [row(number, text) for number, text in enumerate([right, slow, *[""] * 10])]
    )
    for name in ("tmp", "cache"):
        (base / name).mkdir()
    workflow.environment |= {
        "STANDIN_STEP_S": "0.1",
        "TMPDIR": str(base / "tmp"),
        "XDG_CACHE_HOME": str(base / "cache"),
    }
    workflow.write()
    return workflow


def results(folder: Path) -> dict[str, bytes]:
    """Return all files of results and reports."""
    paths = (path for top in ("results", "reports") for path in (folder / top).rglob("*"))
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(paths) if p.is_file()}


def same(files: Mapping[str, bytes]) -> list[str]:
    """Return those files that every run makes the same."""
    return [name for name in files if not any(fnmatch(name, pattern) for pattern in VARIES)]


@dataclass
class Undisturbed:
    """A run that nobody killed."""

    files: dict[str, bytes]
    requests: list[str]
    temporary: set[str]
    length_s: dict[str, float]  # of the shortest job of each phase


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    base = tmp_path_factory.mktemp("undisturbed")
    workflow = prepared(base)
    seen: dict[tuple[str, int], list[float]] = {}
    with started(workflow) as process:
        while process.poll() is None:
            for job in at_work(workflow.folder).items():
                seen.setdefault(job, []).append(time.monotonic())
            time.sleep(0.05)
    output = (workflow.folder / "output.log").read_text()
    assert process.returncode == 0, output
    length_s = {"close_run": 1.0}  # which only kills bring about
    for (phase, _), times in seen.items():
        length_s[phase] = min(length_s.get(phase, 60), times[-1] - times[0])
    temporary = {path.name for path in (base / "tmp").iterdir()}
    asked = requests(journals(workflow.folder))
    return Undisturbed(results(workflow.folder), asked, temporary, length_s)


def planned(
    draw: random.Random, kills: Sequence[tuple[str, str]], length_s: Mapping[str, float]
) -> list[Planned]:
    """Return the kills of one run, their moments drawn over the lengths of their phases."""
    return [
        Planned(
            phase,
            draw.choice(LAST) if victim == "last" else victim,
            draw.uniform(0, length_s[phase]),
        )
        for phase, victim in kills
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.timeout(900)
def test_killed_again_and_again_it_makes_what_an_undisturbed_run_makes(
    seed: int,
    undisturbed: Undisturbed,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    draw, kills, phases = random.Random(seed), list[Kill](), Counter[str]()
    for attempt in range(3):  # one is enough, unless kills come late and a run ends before them
        kills += one_folder(draw, undisturbed, tmp_path / str(attempt), KILLS)
        phases = Counter(kill.phase for kill in kills)
        if len(kills) >= KILLS and phases.keys() >= HIT:
            break
    victims = dict(Counter(kill.victim for kill in kills))
    record_property("counts", f"kills, seed {seed}: {len(kills)}: {dict(phases)}, {victims}")
    assert len(kills) >= KILLS
    assert phases.keys() >= HIT


def one_folder(
    draw: random.Random, undisturbed: Undisturbed, base: Path, wanted: int
) -> list[Kill]:
    """Kill again and again in one folder, let it finish, and compare; return the kills."""
    base.mkdir()
    workflow, kills = prepared(base), list[Kill]()
    plans = chain(ROUND, repeat((("report", "last"),)))
    kept: list[tuple[dict[str, bytes], int]] = []  # journals and number of answers before each kill
    code: int | None = None
    while code != 0:
        plan = planned(draw, next(plans), undisturbed.length_s) if len(kills) < wanted else []
        done = disturb(workflow, plan)
        code = done.code
        kills += done.kills
        kept += zip(done.journalled, done.answered, strict=True)
        told = f"{kills}, now {plan}\n{done.output}"
        print(told)
        assert code == 0 or done.kills, told
        assert done.left == {}, told
        now, answers = journals(workflow.folder), answered(workflow.folder)
        for before, count in kept:
            assert all(now[path].startswith(text) for path, text in before.items()), told
            assert not set(requests(before)) & set(answers[count:]), told
        unlock(workflow)
    assert_same(workflow, undisturbed)
    left = {path.name for path in (base / "tmp").iterdir()} - undisturbed.temporary
    assert [name for name in left if not name.startswith("snakemake")] == []  # its own, empty
    return kills


def assert_same(workflow: Workflow, undisturbed: Undisturbed) -> None:
    """Assert that nothing is missing, nothing is left behind, and nothing would run."""
    files, expected = results(workflow.folder), undisturbed.files
    assert names(files) == names(expected)
    assert [name for name in same(expected) if files[name] != expected[name]] == []
    assert sorted(requests(journals(workflow.folder))) == sorted(undisturbed.requests)
    assert b"</html>" in files["reports/index.html"]
    assert not list(workflow.folder.glob(".snakemake/locks/*"))
    assert not list(workflow.folder.glob(".snakemake/incomplete/*"))
    workflow.run("-n").only()


def names(files: Mapping[str, bytes]) -> list[str]:
    """Return the files that there are after every run."""
    some = ("results/history/*", "reports/figures/*_speed.svg")
    return [name for name in files if not any(fnmatch(name, pattern) for pattern in some)]


def test_no_solver_chooses_jobs_whose_files_would_outlive_a_kill(tmp_path: Path) -> None:
    """Snakemake's own default writes problem and solution into TMPDIR, and only then deletes them."""
    workflow = prepared(tmp_path)
    solver = tmp_path / "no_solver"
    solver.mkdir()
    (solver / "pulp.py").write_text("raise ImportError\n")
    path = workflow.command()[1]["PYTHONPATH"]
    workflow.environment["PYTHONPATH"] = f"{path}{os.pathsep}{solver}"
    outcome = workflow.run("--until", "fetch_model")
    outcome.only(fetch_model=2)
    assert "no ILP solver is found" not in outcome.output


def test_snakemake_forgets_that_it_was_killed_before_it_saw_a_file_come(tmp_path: Path) -> None:
    workflow = prepared(tmp_path)
    workflow.run()
    folder = workflow.folder
    scores = next(folder.glob("results/pairs/beta/*/*/score-*/scores.jsonl")).relative_to(folder)
    notes = folder / ".snakemake/incomplete"
    half_done = "reports/report.md"  # as it may be; scores that are there are right
    for path in (scores, half_done):
        (notes / b64encode(str(path).encode()).decode()).write_text("{}")
    before = (folder / scores).stat()
    outcome = workflow.run()
    assert outcome.jobs == {"report": 1, "all": 1}, outcome.output
    assert list(notes.iterdir()) == []
    assert (folder / scores).stat() == before


def test_where_snakemake_keeps_its_notes_in_a_database_a_run_begins_as_well(tmp_path: Path) -> None:
    outcome = prepared(tmp_path).run("--persistence-backend", "db", "--until", "fetch_model")
    outcome.only(fetch_model=2)


def test_a_summary_in_which_close_run_was_killed_is_made_again(tmp_path: Path) -> None:
    """The report had failed, the summary before it had not."""
    workflow = prepared(tmp_path)
    workflow.run()
    folder, expected = workflow.folder, names(results(workflow.folder))
    (folder / "reports/index.html").unlink()
    scores = next(folder.glob("results/pairs/beta/*/*/score-*/scores.jsonl"))
    aside = scores.rename(folder / "aside")
    os.mkfifo(scores)  # whoever reads it waits
    (run,) = folder.glob("results/runs/*.json")
    command, environment = workflow.command()
    script = [command[0], "workflow/scripts/close_run.py", "--run", str(run), "--since", "0"]
    with subprocess.Popen(script, cwd=folder, env=environment) as closing:
        left = folder / "results/summary/.samples.parquet.tmp"
        assert seconds_until(left.exists, 60) < 60
        closing.kill()
    aside.replace(scores)
    assert left.exists()
    workflow.run().only()
    assert names(results(folder)) == expected
