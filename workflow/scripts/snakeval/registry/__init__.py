"""Which models answer which datasets, and everything a result depends on.

    config/*.yaml, --config ──files.py──▶ mappings ──schema.py──▶ checked, defaults filled
      ──selection.py──▶ pairs ──checks.py──▶ what fits together ──spec.py──▶ keys ──▶ Run

`load` does all of it while the Snakefile is parsed, so nothing heavy is imported here. Jobs read the
resolved run back with `read_run`.
"""

from snakeval.registry.loading import load
from snakeval.registry.run import Pair, Run, read_run
from snakeval.registry.spec import GENERATOR_VERSION

__all__ = ["GENERATOR_VERSION", "Pair", "Run", "load", "read_run"]
