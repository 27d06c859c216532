"""The simulated schedule: cases that can be done by hand, and what holds for every schedule."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import schedule
from schedule import Job, Span, limit, line, simulate

HOUR = 3600.0


def times(spans: list[Span]) -> dict[str, tuple[float, float]]:
    return {span.job.name: (span.begin, span.end) for span in spans}


class TestByHand:
    def test_one_gpu_takes_one_job_after_the_other(self) -> None:
        jobs = [Job("a", 10, gpus=1), Job("b", 5, gpus=1)]
        assert times(simulate(jobs, gpus=1, cores=8)) == {"a": (0, 10), "b": (10, 15)}

    def test_two_gpus_take_two(self) -> None:
        jobs = [Job("a", 10, gpus=1), Job("b", 5, gpus=1), Job("c", 3, gpus=1)]
        spans = simulate(jobs, gpus=2, cores=8)
        assert times(spans) == {"a": (0, 10), "b": (0, 5), "c": (5, 8)}
        assert {span.job.name: span.gpus for span in spans} == {"a": (0,), "b": (1,), "c": (1,)}

    def test_cores_limit_too(self) -> None:
        jobs = [Job("a", 4, gpus=1), Job("b", 4, gpus=1)]
        assert times(simulate(jobs, gpus=2, cores=1)) == {"a": (0, 4), "b": (4, 8)}

    def test_the_higher_priority_comes_first(self) -> None:
        jobs = [Job("score", 2), Job("generate", 3, gpus=1, priority=50)]
        assert times(simulate(jobs, gpus=1, cores=1)) == {"generate": (0, 3), "score": (3, 5)}

    def test_a_job_waits_for_all_that_it_needs(self) -> None:
        jobs = [Job("c", 1, needs=("a", "b")), Job("a", 2), Job("b", 5)]
        assert times(simulate(jobs, gpus=0, cores=8))["c"] == (5, 6)

    def test_the_second_start_of_a_model_compiles_nothing(self) -> None:
        jobs = [Job(n, 10, gpus=1, start_s=2, cold_s=3, cache="m") for n in ("a", "b")]
        spans = simulate(jobs, gpus=1, cores=8)
        assert times(spans) == {"a": (0, 15), "b": (15, 27)}
        assert [span.start_s for span in spans] == [5, 2]

    def test_starts_side_by_side_compile_both(self) -> None:
        jobs = [Job(n, 10, gpus=1, start_s=2, cold_s=3, cache="m") for n in ("a", "b", "c")]
        jobs.append(Job("d", 1, gpus=1, start_s=2, cold_s=3, cache="other"))
        found = times(simulate(jobs, gpus=2, cores=8))
        assert found == {"a": (0, 15), "b": (0, 15), "c": (15, 27), "d": (15, 21)}

    def test_a_large_job_holds_back_no_small_one(self) -> None:
        jobs = [Job("a", 9, gpus=1), Job("large", 1, gpus=2), Job("b", 4, gpus=1)]
        found = times(simulate(jobs, gpus=2, cores=8))
        assert found == {"a": (0, 9), "b": (0, 4), "large": (9, 10)}

    def test_the_gpus_of_a_job_lie_in_one_node(self) -> None:
        jobs = [Job("a", 9, gpus=1), Job("b", 9, gpus=1), Job("large", 1, gpus=2)]
        spans = {s.job.name: s for s in simulate(jobs, gpus=4, cores=8, node=2)}
        assert (spans["a"].gpus, spans["b"].gpus) == ((0,), (1,))  # the node that has least left
        assert (spans["large"].gpus, spans["large"].begin) == ((2, 3), 0)

    @pytest.mark.parametrize(
        "job",
        [
            Job("x", 1, gpus=3),
            Job("x", 1, cores=9),
            Job("x", 1, needs=("x",)),
            Job("x", 1, needs=("y",)),
        ],
    )
    def test_what_never_runs_is_an_error(self, job: Job) -> None:
        with pytest.raises(ValueError, match="never run: x"):
            simulate([Job("a", 1), job], gpus=4, cores=8, node=2)


def drawn_jobs(seed: int) -> list[Job]:
    """Return jobs like a run's: engine starts of few models, and chains on processors after them."""
    chance = random.Random(seed)
    jobs = []
    for n in range(chance.randint(3, 25)):
        jobs.append(
            Job(
                f"engine {n}",
                chance.randint(1, 50),
                gpus=chance.choice((1, 1, 1, 2, 4)),
                priority=50,
                start_s=chance.randint(1, 9),
                cold_s=chance.randint(0, 9),
                cache=f"model {chance.randint(0, 5)}",
            )
        )
        for k in range(chance.randint(1, 6)):
            jobs.append(Job(f"collect {n} {k}", 1, needs=(f"engine {n}",)))
            jobs.append(Job(f"score {n} {k}", chance.randint(1, 30), needs=(f"collect {n} {k}",)))
    scores = tuple(job.name for job in jobs if job.name.startswith("score"))
    return [*jobs, Job("report", 7, needs=scores)]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("gpus", "cores"), [(4, 1), (4, 8), (12, 16), (64, 64)])
class TestAlways:
    def test_every_job_runs_once_and_after_what_it_needs(
        self, seed: int, gpus: int, cores: int
    ) -> None:
        jobs = drawn_jobs(seed)
        spans = simulate(jobs, gpus, cores)
        ends = {span.job.name: span.end for span in spans}
        assert sorted(ends) == sorted(job.name for job in jobs)
        assert len(spans) == len(jobs)
        assert all(span.begin >= ends[name] for span in spans for name in span.job.needs)

    def test_nothing_is_held_twice(self, seed: int, gpus: int, cores: int) -> None:
        spans = simulate(drawn_jobs(seed), gpus, cores)
        for moment in {span.begin for span in spans}:
            now = [span for span in spans if span.begin <= moment < span.end]
            assert sum(span.job.cores for span in now) <= cores
            held = Counter(gpu for span in now for gpu in span.gpus)
            assert all(count == 1 and 0 <= gpu < gpus for gpu, count in held.items())
        for span in spans:
            assert len(span.gpus) == span.job.gpus
            assert len({gpu // schedule.NODE for gpu in span.gpus}) <= 1

    def test_no_schedule_beats_its_bounds(self, seed: int, gpus: int, cores: int) -> None:
        spans = simulate(drawn_jobs(seed), gpus, cores)
        lengths = {span.job.name: span.end - span.begin for span in spans}
        chain: dict[str, float] = {}
        for span in sorted(spans, key=lambda span: span.begin):
            needed = max((chain[name] for name in span.job.needs), default=0.0)
            chain[span.job.name] = needed + lengths[span.job.name]
        wall = schedule.wall_s(spans)
        assert wall >= sum(lengths[s.job.name] * s.job.gpus for s in spans) / gpus
        assert wall >= sum(lengths[s.job.name] * s.job.cores for s in spans) / cores
        assert wall >= max(chain.values())


class TestLine:
    def test_shares_and_hours(self) -> None:
        spans = simulate(
            [
                Job("generate a 0", 3 * HOUR, gpus=1, start_s=HOUR),
                Job("generate b 0", HOUR, gpus=1, start_s=HOUR),
                Job("score", HOUR, needs=("generate a 0",)),
            ],
            gpus=2,
            cores=8,
        )
        found = line(spans, 2)
        assert found["wall h"] == 5
        assert found["GPU h"] == 6
        assert found["starting %"] == pytest.approx(100 / 3)
        assert found["idle %"] == 40
        assert found["after the last GPU min"] == 60

    def test_gpus_that_wait_for_others_are_idle(self) -> None:
        jobs = [Job("a", 9, gpus=1), Job("large", 1, gpus=2), Job("b", 4, gpus=1)]
        assert schedule.too_few(simulate(jobs, 2, 8), 2) == 5
        assert schedule.too_few(simulate([jobs[0], jobs[2]], 2, 8), 2) == 0

    def test_limits(self) -> None:
        even = [Job(f"generate m{n} 0", 10, gpus=1) for n in range(4)]
        assert limit(simulate(even, 2, 8), 2) == "the GPUs' work"
        long = [Job("generate big 0", 90, gpus=1), *even]
        assert limit(simulate(long, 4, 8), 4) == "one engine start, big 0"
        scored = [*even, *(Job(f"score {n}", 300, needs=("generate m0 0",)) for n in range(9))]
        assert limit(simulate(scored, 2, 1), 2) == "one after the other on the cores"
        uneven = [*even[:3], Job("generate m3 0", 9, gpus=1), Job("generate m4 0", 14, gpus=1)]
        assert limit(simulate(uneven, 2, 8), 2).startswith("packing, then")


@pytest.fixture(scope="module")
def runs() -> dict[int | None, list[Job]]:
    found = {}
    for per_engine in (None, 1):
        run = schedule.selected(per_engine)
        assert (len(run.models), len(run.datasets)) == (37, 25)
        assert len(run.pairs) + len(run.left_out) == 925
        found[per_engine] = schedule.jobs_of(run, schedule.asked_of(run))
    return found


class TestJobs:
    def test_each_pair_is_collected_and_scored_after_its_engine(
        self, runs: dict[int | None, list[Job]]
    ) -> None:
        for jobs in runs.values():
            kinds = Counter(job.name.split()[0] for job in jobs)
            assert kinds["predictions"] == kinds["score"]
            assert kinds["report"] == 1
            engines = {job.name for job in jobs if job.gpus}
            assert {job.needs[0] for job in jobs if job.name.startswith("predictions")} == engines
        assert sum(bool(job.gpus) for job in runs[None]) == 37
        assert sum(bool(job.gpus) for job in runs[1]) == kinds["score"]

    def test_more_starts_answer_no_less(self, runs: dict[int | None, list[Job]]) -> None:
        answering = {
            per_engine: sum(job.seconds for job in jobs if job.gpus)
            for per_engine, jobs in runs.items()
        }
        assert answering[None] < answering[1] < 1.1 * answering[None]
        assert all(job.start_s > 20 and job.cold_s > 20 for job in runs[None] if job.gpus)

    def test_what_was_measured_is_given_back(self) -> None:
        run = schedule.selected(None)
        engines = schedule.Engines(run)
        [quotient] = engines.like("qwen3_8b", engines.quotients)
        shape = engines.shape("qwen3_8b")
        seconds = quotient * schedule.cost.roofline(
            shape, schedule.cost.hardware("H200"), schedule.RATED
        )
        assert schedule.RATED.completion_tokens / seconds == pytest.approx(14_023)
        assert all(0.6 < found < 1.3 for found in engines.quotients.values())
