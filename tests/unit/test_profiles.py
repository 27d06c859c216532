"""The profiles cover the rules that there are, and a site's settings reach all jobs they are meant for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from snakemake.profiles import ProfileConfigFileParser

ROOT = Path(__file__).parents[2]
PROFILE = ROOT / "profiles" / "slurm" / "profile.yaml"


def read(path: Path) -> dict[str, Any]:
    with path.open() as file:
        return dict(ProfileConfigFileParser().parse(file))


def edited(folder: Path, **settings: str) -> dict[str, Any]:
    """Return the profile as it is after a user has changed settings at its top."""
    text = PROFILE.read_text()
    for name, value in settings.items():
        text, count = re.subn(rf"(?m)^  {name}: \S+", f"  {name}: {value}", text)
        assert count == 1
    (folder / "profile.yaml").write_text(text)
    return read(folder / "profile.yaml")


def rules() -> dict[str, str]:
    """Return the text of each rule."""
    texts = [path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk")]
    return dict(re.findall(r"(?ms)^rule (\w+):\n(.*?)(?=^\S|\Z)", "\n".join(texts)))


def test_each_rule_runs_on_the_login_node_or_has_its_resources() -> None:
    common = (ROOT / "workflow" / "rules" / "common.smk").read_text()
    [listed] = re.findall(r"(?ms)^localrules:\n(.*?)\n\n", common)
    local = set(re.findall(r"\w+", listed)) - {"all"}
    engines = {name for name, text in rules().items() if "gpu=" in text}
    asked = {entry.partition(":")[0] for entry in read(PROFILE)["set-resources"]}
    assert asked == engines
    assert set(rules()) - local == engines | {"score", "check_dataset"}
    assert {entry.partition("=")[0] for entry in read(PROFILE)["set-threads"]} == engines | {
        "score"
    }


def test_settings_reach_every_job(tmp_path: Path) -> None:
    given = edited(
        tmp_path,
        account="lab42",
        gpu_partition="gpu-long",
        cpu_partition="batch",
        gpu_constraint='"a100|h100"',
        gpu_time="3d",
        gpu_memory_mb="100000",
        cpus_per_job="12",
        most_gpus="16",
    )
    assert given["resources"] == ["gpu=16"]
    assert {"slurm_account=lab42", "slurm_partition=batch"} < set(given["default-resources"])
    for rule in ("generate", "judge", "measure_model", "quantize_model"):
        assert f"{rule}=12" in given["set-threads"]
        assert {
            f"{rule}:slurm_partition=gpu-long",
            f"{rule}:constraint=a100|h100",
            f"{rule}:runtime=3d",
            f"{rule}:mem_mb=50000 * (attempt + 1)",
        } < set(given["set-resources"])


def test_what_is_null_is_not_asked_for() -> None:
    words = str(read(PROFILE))
    assert "account" not in words
    assert "constraint" not in words


def test_the_cluster_behaves_as_one_machine_does() -> None:
    """`--workflow-profile profiles/slurm` leaves profiles/default out."""
    here, cluster = read(ROOT / "profiles" / "default" / "profile.yaml"), read(PROFILE)
    assert here
    assert {name: cluster[name] for name in here} == here


def test_the_readme_shows_the_settings_as_they_are() -> None:
    shown = {line.strip() for line in (ROOT / "README.md").read_text().splitlines()}
    [settings] = re.findall(r"(?ms)^__variables__:\n(.*?)\n\n", PROFILE.read_text())
    for line in settings.splitlines():
        name_and_value = line.partition("#")[0].strip()
        assert any(place.startswith(name_and_value) for place in shown), name_and_value
