"""Conda environments and containers install the pins of envs/*.txt, all of them and nothing else."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from workflow_copy import ROOT

ENVS = ROOT / "envs"
PLATFORMS = ("cpu", "cuda")
PYTHON = "3.12"
RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))


def conda(platform: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ENVS / f"{platform}.yaml").read_text())
    return found


def script(platform: str) -> str:
    return (ENVS / f"{platform}.post-deploy.sh").read_text()


def container(name: str) -> str:
    """Return a definition without its comments."""
    return re.sub(r"(?m)^\s*#.*\n", "", (ENVS / name).read_text())


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_is_installed_is_what_make_installs(platform: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    [pins] = re.findall(r"^PINS := (.+)$", makefile, re.MULTILINE)
    wanted = pins.replace("$(PLATFORM)", platform).split()
    [installs] = [line for line in script(platform).splitlines() if "pip install" in line]
    assert re.findall(r"-r (\S+?)[\"\s]", installs + " ") == wanted
    assert "--no-deps" in installs  # the lists are complete, and leave out what breaks others


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_changed_pin_makes_another_environment(platform: str) -> None:
    """Snakemake looks at the script alone; it, too, refuses a list of which it does not hold the digest."""
    now = script(platform)
    for name in re.findall(r"-r (envs/[a-z]+\.txt)", now):
        line = f"{hashlib.sha256((ROOT / name).read_bytes()).hexdigest()}  {name}"
        assert line in now.splitlines(), f"write into envs/{platform}.post-deploy.sh: {line}"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_pins_that_changed_are_refused(platform: str, tmp_path: Path) -> None:
    (tmp_path / "envs").mkdir()
    for name in (f"{platform}.txt", "scoring.txt"):
        (tmp_path / "envs" / name).write_text((ENVS / name).read_text() + "another==1\n")
    command = ["sh", "-e", str(ENVS / f"{platform}.post-deploy.sh")]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert f"envs/{platform}.txt: FAILED" in done.stdout


@pytest.mark.parametrize("platform", PLATFORMS)
def test_conda_brings_python_and_compilers_only(platform: str) -> None:
    found = conda(platform)
    assert found["channels"] == ["conda-forge", "nodefaults"]
    assert found["dependencies"] == [f"python={PYTHON}", "pip", "c-compiler", "cxx-compiler"]


def test_python_is_one_that_the_makefile_takes() -> None:
    [least] = re.findall(r"sys\.version_info < \((\d+), (\d+)\)", (ROOT / "Makefile").read_text())
    assert tuple(map(int, PYTHON.split("."))) >= tuple(map(int, least))
    assert sys.version_info >= tuple(map(int, least))


def test_both_containers_begin_and_install_alike() -> None:
    definition, dockerfile = container("snakeval.def"), container("Dockerfile")
    base = f"python:{PYTHON}-slim-bookworm"
    assert f"From: {base}\n" in definition
    assert f"ARG BASE={base}\n" in dockerfile
    for text, platform in ((definition, "{{ PLATFORM }}"), (dockerfile, "${PLATFORM}")):
        assert "PLATFORM=cuda\n" in text
        assert f"sh -e envs/{platform}.post-deploy.sh\n" in text
        assert re.findall(r"\bpip\b|==", text) == []  # versions stand in the lists alone
        [packages] = re.findall(r"apt-get install -y --no-install-recommends ([^\n\\]+)", text)
        assert packages.split() == ["gcc", "g++"]
    assert "envs /opt/snakeval/envs\n" in definition
    assert "WORKDIR /opt/snakeval\n" in dockerfile
    assert "COPY envs envs\n" in dockerfile


def test_all_rules_run_in_the_same_environment_and_image() -> None:
    named = {name for path in RULES for name in re.findall(r'conda:\s+"([^"]+)"', path.read_text())}
    assert named == {"../../envs/cuda.yaml"}
    rules = [rule for path in RULES for rule in re.findall(r"(?m)^rule (\w+):", path.read_text())]
    directives = sum(len(re.findall(r"(?m)^    conda:", path.read_text())) for path in RULES)
    assert directives == len(rules) > 10
    image = re.findall(r'^container: "(.+?)"', (ROOT / "Snakefile").read_text(), re.MULTILINE)
    assert image == ["snakeval.sif"]
    assert f"apptainer build {image[0]} " in (ENVS / "snakeval.def").read_text()
