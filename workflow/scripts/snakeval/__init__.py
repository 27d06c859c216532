"""The package behind the workflow: importable from scripts, from the Snakefile and from tests without installing."""

__version__ = "0.1.0"
