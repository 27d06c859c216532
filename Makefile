# make run    install what is missing, evaluate what is missing, say where the report lies
# make smoke  the same for five problems, to try a change of your own; ARGS are more configuration: ARGS="models=mine"
# make test   all checks and tests
# make check  the cheap checks alone: format, lint, types
# make bench  measure speed; prints tables and writes results/bench/*.json
# make docs   docs/datasets.md and docs/models.md from the registry
# make example   docs/example, the report that the README shows, from a run of config/awq_vs_bf16.yaml
# make quantizer   llm-compressor into .quantizer; Snakemake does that by itself where it has a network
# make libraries   what BigCodeBench's programs import, into .libraries; then --config sandbox="{libraries: .libraries}"
#
# ARGS go to snakemake:  make run ARGS="--config models=mine datasets=humaneval"

PYTHON ?= python3
PLATFORM := $(shell command -v nvidia-smi >/dev/null && echo cuda || echo cpu)
PINS := envs/$(PLATFORM).txt envs/scoring.txt
TORCH_INDEX := https://download.pytorch.org/whl/$(subst cuda,cu130,$(PLATFORM))
PIP := $(CURDIR)/.venv/bin/pip install --quiet --disable-pip-version-check --no-deps
BIN := .venv/bin
ENVIRONMENT := .venv/installed-$(PLATFORM)
SNAKEMAKE = $(BIN)/snakemake --cores 1 --resources gpu=1

.PHONY: run smoke test check bench docs example libraries quantizer

run: $(ENVIRONMENT)
	@$(BIN)/python workflow/scripts/unlock.py
	@$(SNAKEMAKE) $(ARGS)
	@echo "Report: $(CURDIR)/reports/index.html"

smoke:
	@$(MAKE) --no-print-directory run ARGS="--config limit=5 $(ARGS)"

test: $(ENVIRONMENT)-tests check
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(ENVIRONMENT)-tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/snakemake --lint

bench: $(ENVIRONMENT)-bench
	$(BIN)/python tests/bench.py $(ARGS)

docs: $(ENVIRONMENT)
	$(BIN)/python workflow/scripts/docs_pages.py

example: $(ENVIRONMENT)-tests
	@$(SNAKEMAKE) --configfile config/awq_vs_bf16.yaml
	$(BIN)/python tests/example.py

quantizer: $(ENVIRONMENT)
	$(BIN)/python workflow/scripts/quantizer.py

libraries: .libraries/installed

# The interpreter that runs the sandbox must be the one they are installed for.
.libraries/installed: envs/bigcodebench.txt $(ENVIRONMENT)
	rm -rf .libraries
	$(PIP) --target .libraries -r $<
	@touch $@

$(ENVIRONMENT): $(PINS)
	$(PYTHON) -c 'import sys; sys.exit("error: Python " + sys.version.split()[0] + "; expected 3.11 or newer. Use make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) $(addprefix -r ,$(PINS)) 2>.venv/install.log || $(PIP) --extra-index-url $(TORCH_INDEX) $(addprefix -r ,$(PINS))
	@touch $@

$(ENVIRONMENT)-tests: envs/test.txt $(ENVIRONMENT)
	$(PIP) -r $<
	@touch $@

$(ENVIRONMENT)-bench: envs/bench.txt $(ENVIRONMENT)
	$(PIP) -r $<
	@touch $@
