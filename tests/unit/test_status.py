"""How far a run is: states of pairs, engines at work, failures, what the rest takes, and how that is shown."""

from __future__ import annotations

import fcntl
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from reported_run import make_run
from snakeval import status
from snakeval.journal import journal_path, verdicts_path
from snakeval.preflight import Preflight
from snakeval.preflight.models import Target
from snakeval.preflight.tokens import Planner
from snakeval.records import canonical_json, write_json, write_text
from snakeval.registry import Pair, Run
from snakeval.reporting import Failure
from snakeval.sources.probe import Hub
from snakeval.status import State, Status, engines, processes
from snakeval.status.processes import Process
from snakeval.status.text import text
from unit.test_plan import make_run as made_up


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(root: Path) -> Run:
    """A finished run of two models on two datasets."""
    made = make_run(root, ["tiny", "medium"], ["humaneval", "coding_sample"], samples=3)
    made.settings.update(
        {"limit": 3, "gpu_memory_gb": 80, "data_dir": None, "price_per_gpu_hour": 2}
    )
    for kind in ("models", "datasets"):
        shutil.rmtree(Path("results") / kind)  # what stands there is made up
    return made


def states(run: Run) -> dict[tuple[str, str], str]:
    found = status.look(run, Path()).states
    return {(pair.model, pair.dataset): state.value for pair, state in found.items()}


def failed(model: str, dataset: str, reason: str, stage: str = "generate") -> Failure:
    return Failure(model=model, dataset=dataset, stage=stage, reason=reason, log="results/x.log")


def engine_status(pair: Pair, **pairs: Any) -> None:
    write_json(pair.engine_status(), {"log": "results/logs/generate/x.log", "pairs": pairs})


class TestStates:
    def test_of_each_kind(self, run: Run) -> None:
        first, second, third, _ = run.pairs
        shutil.rmtree(first.folder())
        shutil.rmtree(second.score_folder())
        shutil.rmtree(third.folder())
        write_json(
            Path("results/summary/failures.json"),
            [
                failed("tiny", "humaneval", "not run"),
                failed("medium", "humaneval", "no luck"),
                failed("medium", "coding_sample", "long ago"),
            ],
        )
        found = status.look(run, Path())
        assert [found.states[pair] for pair in run.pairs] == [
            *(State.MISSING, State.ANSWERED, State.FAILED, State.DONE)
        ]
        assert [one["reason"] for one in found.failures] == ["no luck"]
        assert found.told == Path("results/summary/failures.json").stat().st_mtime

    def test_what_an_engine_has_answered_in_a_run_that_is_not_over(self, run: Run) -> None:
        first, second, *_ = run.pairs
        for pair in (first, second):
            shutil.rmtree(pair.folder())
        engine_status(
            first,
            humaneval={"status": "ok", "reason": None},
            coding_sample={"status": "failed", "reason": "too long"},
        )
        found = status.look(run, Path())
        assert (found.states[first], found.states[second]) == (State.ANSWERED, State.FAILED)
        assert [one["reason"] for one in found.failures] == ["too long"]

    def test_newer_reasons_come_before_those_of_the_last_run(self, run: Run) -> None:
        shutil.rmtree(run.pairs[0].folder())
        write_json(Path("results/summary/failures.json"), [failed("tiny", "humaneval", "long ago")])
        engine_status(run.pairs[0], humaneval={"status": "failed", "reason": "just now"})
        assert [one["reason"] for one in status.look(run, Path()).failures] == ["just now"]

    def test_a_broken_summary_tells_nothing(self, run: Run) -> None:
        shutil.rmtree(run.pairs[0].folder())
        write_text(Path("results/summary/failures.json"), "{")
        assert states(run)["tiny", "humaneval"] == "missing"


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Hold a lock as a job does."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def at(when: float) -> str:
    return f"{datetime.fromtimestamp(when):%Y-%m-%d %H:%M:%S},123"


def job_log(now: float, machine: str, *more: str) -> None:
    """Write the log of a job with process 77 that began a minute ago."""
    lines = (
        f"{at(now - 60)} tiny: process 77 on {machine}",
        "INFO vllm says something",
        f"{at(now - 50)} tiny: 6 requests, 4 of them to be answered",
        f"{at(now - 10)} tiny: engine is up",
        *more,
    )
    write_text(Path("results/logs/generate/tiny.0.log"), "\n".join(lines) + "\n")


def answers(path: Path, *sessions: str | None) -> None:
    """Write a journal of answers of 50 tokens."""
    rows = [{"request": "x", "session": one, "completion_tokens": 50} for one in sessions]
    write_text(path, "".join(canonical_json(row) + "\n" for row in rows))


def session(when: float) -> str:
    return f"{datetime.fromtimestamp(when, UTC):%Y%m%dT%H%M%S}-0123abcd-1"


class TestEngines:
    @pytest.fixture
    def run(self, run: Run) -> Run:
        for pair in run.pairs[:2]:
            shutil.rmtree(pair.folder())
        return run

    def test_progress_is_counted_from_the_jobs_own_answers(self, run: Run) -> None:
        now = time.time()
        job_log(now, platform.node())
        mine, again = session(now - 60), session(now - 5)
        earlier = session(now - 62)
        answers(journal_path("tiny", "humaneval"), earlier, None, mine, again)
        answers(journal_path("tiny", "coding_sample"), mine)
        with held(Path("results/journal/tiny/humaneval.lock")):
            with held(Path("results/journal/tiny/coding_sample.lock")):
                (engine,) = engines.at_work(run, Path(), now)
                found = status.look(run, Path())
            (alone,) = engines.at_work(run, Path(), now)
        assert (engine.process, engine.machine, engine.seen) == (77, platform.node(), True)
        assert (engine.requests, engine.waiting) == (6, 4)
        assert (engine.answered, engine.tokens) == (3, 150)
        assert [found.states[pair] for pair in engine.pairs] == [State.RUNNING] * 2
        assert [pair.dataset for pair in alone.pairs] == ["humaneval"]
        (row,) = [line for line in text(found, None).splitlines() if " 77 " in line]
        assert "5 of 6 (83%)" in row

    def test_speed_and_time_left(self, run: Run) -> None:
        now = time.time()
        engine = engines.Engine(
            *("tiny", run.pairs[:1], False, True),
            **{"up": now - 10, "requests": 8, "waiting": 6, "answered": 2, "tokens": 500},
        )
        from snakeval.status.text import _progress

        assert _progress(engine, now) == ("4 of 8 (50%)", "50", "20 s")
        engine.answered = 9  # second turns
        assert _progress(engine, now)[0] == "11 of 11 (100%)"
        engine.up = None
        assert _progress(engine, now)[0].endswith("engine starts")
        engine.requests = None
        assert _progress(engine, now) == ("no request yet", "–", "–")

    def test_a_job_that_only_its_log_tells_of(self, run: Run) -> None:
        now = time.time()
        assert not list(engines.at_work(run, Path(), now))
        job_log(now, "far-away")
        (engine,) = engines.at_work(run, Path(), now)
        assert (engine.machine, engine.seen, len(engine.pairs)) == ("far-away", False, 2)
        assert "far-away, as its log tells" in text(status.look(run, Path()), None)
        assert not list(engines.at_work(run, Path(), now + 2 * engines.QUIET_S))
        job_log(now, "far-away", f"{at(now)} tiny: 4 requests, 200 tokens in 9.0 s")
        assert not list(engines.at_work(run, Path(), now))
        job_log(now, platform.node())  # here its lock would be seen
        assert not list(engines.at_work(run, Path(), now))

    def test_a_judge(self, run: Run) -> None:
        judged = [Pair(**{**vars(pair), "judging": "1" * 12}) for pair in run.pairs[2:]]
        run = Run(run.models, run.datasets, tuple(judged), run.settings, judges={"j": {}})
        with held(verdicts_path("j", "medium", "humaneval").with_suffix(".lock")):
            (engine,) = engines.at_work(run, Path(), time.time())
        assert (engine.model, engine.judging) == ("j", True)
        assert engine.pairs == tuple(judged[:1])


HOLD = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def snakemake(folder: Path, place: Path | None = None) -> Iterator[int]:
    """Start a process that holds a folder as a run does; it works in `place`, or there."""
    (folder / "results").mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder / "results/.making")],
        cwd=place or folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.communicate()


def test_who_is_at_work_in_a_folder(root: Path) -> None:
    began = time.time()
    with snakemake(root / "here") as here, snakemake(root / "elsewhere"):
        (found,) = processes.at_work(root / "here")
        assert (found.number, found.command[:2]) == (here, [sys.executable, "-c"])
        assert abs(found.began - began) < 60
    assert not list(processes.at_work(root / "here"))
    assert not list(processes.at_work(root / "nowhere"))
    with snakemake(root / "here", place=root):  # as where another disk has a file of that number
        assert not list(processes.at_work(root / "here"))


class TestRest:
    def test_asks_no_hub_and_renders_nothing(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise AssertionError

        for place, name in ((Hub, "model"), (Hub, "dataset"), (Planner, "_counted")):
            monkeypatch.setattr(place, name, refuse)
        for pair in (run.pairs[0], run.pairs[2]):
            shutil.rmtree(pair.folder())
        here = {"status": "ok", "path": "here", "commit": None, "licence": None}
        write_json(Path("here/config.json"), {})
        write_json(run.model_status("tiny"), here)
        write_json(run.dataset_status("humaneval"), {"status": "ok", "source": "x", "rows": 2})
        found = status.look(run, Path())
        assert found.rest is not None
        asked = {start.model: start.asked[0].requests for start in found.rest.starts}
        assert asked == {"tiny": 2, "medium": 2}
        assert not found.rest.problems

    def test_what_the_journal_holds_is_not_asked(self, run: Run) -> None:
        pair = run.pairs[0]
        shutil.rmtree(pair.folder())
        answers(journal_path(pair.model, pair.dataset), "a", "b")
        found = status.look(run, Path())
        assert found.rest is not None
        (asked,) = found.rest.starts[0].asked
        assert asked.requests == 1


def made_status(run: Run, **changes: Any) -> Status:
    """Return the status of pairs of which nothing is there."""
    target = Target(None, 0.0, "")
    rest = Preflight(run, target, {}, {}, {}, {}, {})
    given: dict[str, Any] = {
        "states": dict.fromkeys(run.pairs, State.MISSING),
        **{"failures": [], "told": None, "engines": [], "processes": []},
        **{"rest": rest, "unknown": None, "now": 1e9},
    }
    return Status(run=run, **(given | changes))


class TestText:
    def test_many_models_are_counted_where_they_are_done(self) -> None:
        run = made_up(50, 25)
        done = dict.fromkeys(run.pairs, State.DONE) | dict.fromkeys(run.pairs[:7], State.MISSING)
        lines = text(made_status(run, states=done), None).splitlines()
        assert lines[0] == "1,250 pairs of 50 models and 25 datasets: 1,243 done, 7 missing."
        (row,) = [line.split() for line in lines if line.startswith("  m0 ")]
        assert row == [*("m0", "25", "18", "7", "d0,", "d1,", "d2", "and", "4", "more")]
        assert not any(line.startswith("  m1 ") for line in lines)
        assert "  49 more models with all pairs done" in [line.rstrip() for line in lines]
        assert len(lines) < 15

    def test_a_model_of_which_nothing_is_there(self) -> None:
        lines = text(made_status(made_up(2, 25)), None).splitlines()
        assert "  m1        25       25  all" in lines

    def test_failures_are_told_by_reason_and_not_without_end(self) -> None:
        run = made_up(3, 30)
        failures = [failed(f"m{m}", "d0", "gone", "fetch_dataset") for m in range(3)]
        failures += [failed("m1", f"d{d}", "gated\n\x1b[31m" + "x" * 999) for d in range(1, 5)]
        failures += [failed("m2", f"d{d}", f"no {d}") for d in range(1, 21)]
        shown = text(made_status(run, failures=failures, told=1e9 - 7200), None)
        assert "Failed when the last run ended, at " in shown
        assert "(2 h ago)" in shown
        assert "\n  3 models on d0 (fetch_dataset): gone\n    log: results/x.log\n" in shown
        assert "\n  m1 on 4 datasets (generate): gated  [31mxxx" in shown
        assert max(map(len, shown.splitlines())) < 400
        assert "\x1b" not in shown
        assert "and 12 more reasons: results/summary/failures.json has all" in shown
        assert "no 8" in shown
        assert "no 9" not in shown

    def test_who_is_at_work(self) -> None:
        process = Process(42, 1e9 - 180, ["/bin/python", "/bin/snakemake", "--cores", "1"])
        shown = text(made_status(made_up(1, 1), processes=[process]), None)
        assert "process 42 since " in shown
        assert "(3 min ago): snakemake --cores 1\n" in shown
        assert "No run is" not in shown

    @pytest.mark.parametrize(
        ("typed", "goes_on"),
        [
            (["status", "--cores", "1"], "--cores 1 --resources gpu=1"),
            (
                ["status", "--cores", "1", "--config", "models=a b"],
                "--cores 1 --resources gpu=1 --config 'models=a b'",
            ),
            (["status", "--profile", "profiles/slurm"], "--profile profiles/slurm"),
            (
                ["--cores=2", "status", "--resources", "gpu=4"],
                "--cores=2 --resources gpu=4",
            ),
        ],
    )
    def test_how_to_go_on(self, typed: list[str], goes_on: str) -> None:
        for program in (["/bin/python", "/bin/snakemake"], ["python", "-m", "snakemake"]):
            asker = Process(1, 0.0, [*program, *typed])
            shown = text(made_status(made_up(1, 1)), asker)
            assert shown.endswith(f"\nTo go on: snakemake {goes_on}")

    def test_nothing_left(self) -> None:
        run = made_up(1, 1)
        shown = text(made_status(run, states=dict.fromkeys(run.pairs, State.DONE)), None)
        assert shown.endswith("Everything is done. Report: reports/index.html")
        assert "The rest" not in shown

    def test_a_cost_that_is_not_known(self) -> None:
        shown = text(made_status(made_up(1, 1), rest=None, unknown="broken.json: got x"), None)
        assert "What the rest takes is not known: broken.json: got x" in shown
