#!/bin/sh -e
# Installs the pins into the environment that is active, seen from the repository's folder: behind cuda.yaml, in the container.
# Snakemake makes its environment anew where this file has changed, so it holds the pins' digests.
sha256sum --check --quiet <<END
6c795335c04b623f6670a9e0b4e159f2fbbe84febef1e646da36ade1af4c8cc1  envs/cuda.txt
d0a03a513ce25b425a5952e93c707bf2f334ed3e7bf1a5241b9098afce7e635c  envs/scoring.txt
END
pip install --no-cache-dir --no-deps -r envs/cuda.txt -r envs/scoring.txt
