#!/bin/sh -e
# Installs the pins into the environment that is active, seen from the repository's folder: behind cpu.yaml, in the container.
# Snakemake makes its environment anew where this file has changed, so it holds the pins' digests.
sha256sum --check --quiet <<END
180fb20578d81a53bc76a1575a3b808c18571b74d240997ef381b2cfcebedd50  envs/cpu.txt
d0a03a513ce25b425a5952e93c707bf2f334ed3e7bf1a5241b9098afce7e635c  envs/scoring.txt
END
install="pip install --no-cache-dir --no-deps -r envs/cpu.txt -r envs/scoring.txt"
$install || $install --extra-index-url https://download.pytorch.org/whl/cpu
