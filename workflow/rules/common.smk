# The package is used as it lies here, without being installed.
import sys

sys.path.insert(0, f"{workflow.basedir}/workflow/scripts")

from snakeval.plan import start

# `config` holds only what the user gave by --config and --configfile; config/*.yaml is read by the registry.
plan = start(workflow, config)


# What needs no cluster job: it waits for a network or takes a second.
localrules:
    all,
    fetch_dataset,
    fetch_model,
    predictions,
    verdicts,
    summarize,
    report,
    oracle,
    benchmark,
    redo,
    lock,
    preflight,
    compare,
    export,
    status,
    prune,
    quantizer,
    quantize,


wildcard_constraints:
    **plan.constraints,
