# snakeval: which language model answers which benchmark, and how well.
#
#   snakemake --cores 1 --resources gpu=1        everything that is missing (add -n to see what and why)
#   snakemake preflight --cores 1 --config …        access, disk, memory, tokens, time and energy, before anything starts
#   snakemake status --cores 1                   what is done, missing, failed and running, and what the rest takes
#   snakemake oracle --cores 1 --config datasets=…  do reference answers score 1, and wrong ones not?
#   snakemake benchmark --cores 1 --resources gpu=1 --config models=…   how fast the models answer
#   snakemake compare --cores 1 --config baseline=…  what changed since an earlier run, and what is significant
#   snakemake export --cores 1                   results as lm-evaluation-harness, inspect_ai and model cards have them
#   snakemake redo --cores 1 --config models=…   drop pairs, so that the next run makes them anew
#   snakemake prune --cores 1                    predictions that no configuration yields; confirm=true removes them
#   snakemake lock --cores 1 --config models=…   write down which commits they are at; later runs take these
#   snakemake quantize --cores 1 --config models=…   make the models that are quantized here
#
# results/datasets, results/models             what was fetched or quantized  rules/fetch.smk, quantize.smk
# results/engines (temporary), results/journal  one engine start per model     rules/generate.smk
# results/pairs/{model}/{dataset}/{key}         predictions, verdicts, scores  rules/generate.smk, judge.smk, score.smk
# results/oracle                                checks of datasets             rules/oracle.smk
# results/benchmarks                            speed of models                rules/benchmark.smk
# results/summary, reports                      tables and the report          rules/report.smk, compare.smk, export.smk
#
# {key}, {source}, {judging} and {scorer} are fingerprints of what a file depends on: if it exists, it is right.
from snakemake.utils import min_version

min_version("9.20")


container: "snakeval.sif"  # for --sdm apptainer; envs/snakeval.def makes it


include: "workflow/rules/common.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/generate.smk"
include: "workflow/rules/judge.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/oracle.smk"
include: "workflow/rules/benchmark.smk"
include: "workflow/rules/redo.smk"
include: "workflow/rules/status.smk"
include: "workflow/rules/prune.smk"
include: "workflow/rules/lock.smk"
include: "workflow/rules/preflight.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/quantize.smk"


rule all:
    """Every pair's files and the report."""
    default_target: True
    input:
        plan.wanted,
        rules.summarize.output,
        rules.report.output,


onstart:
    plan.begin()


onsuccess:
    plan.finish()


onerror:
    plan.close(workflow.dag_settings.targets)
