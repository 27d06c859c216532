"""How the programs behind a result were shut in, and where their tests ran, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from snakeval.records import Score


@dataclass(frozen=True)
class Isolation:
    """What `sandbox` of metrics.json says.

    Args:
        level: "namespaces", "landlock" or "none".
        layers: what the level was made of on that machine.
        together: answers whose tests ran in the program's own process: a weaker guarantee.
        answers: all answers of the pair.
    """

    level: str
    layers: tuple[str, ...]
    together: int
    answers: int

    @classmethod
    def of(cls, metrics: Mapping[str, Any], answers: int) -> Isolation | None:
        """Read the metrics of a pair with so many answers; None where no programs were run."""
        sandbox = metrics["sandbox"]
        if sandbox is None:
            return None
        together = sandbox["judged_together"]
        return cls(sandbox["level"], tuple(sandbox["layers"]), together, answers)

    @property
    def missing(self) -> bool:
        """Whether the programs could do whatever the user could who ran them."""
        return self.level == "none"

    @property
    def short(self) -> str:
        """The level, and how many answers were judged together, for a table."""
        return f"{self.level}, {self.together:,} together" if self.together else self.level

    def facts(self) -> Iterator[tuple[str, str]]:
        """Yield names and values for the facts of a pair."""
        layers = ", ".join(self.layers)
        yield "isolation of programs", f"{'NONE' if self.missing else self.level} ({layers})"
        where = "outside of the program's process, for all answers"
        if self.together:
            where = (
                f"together with the program, in its process, for {self.together:,} of {self.answers:,}"
                " answers: such a program could forge its verdict"
            )
        yield "tests ran", where


def judged_together(score: Score) -> bool:
    """Whether an answer's tests ran in its program's own process."""
    return bool(score["detail"].get("judged") == "together")
