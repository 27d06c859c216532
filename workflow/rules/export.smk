rule export:
    """Write what is finished in the formats of lm-evaluation-harness, inspect_ai and model cards."""
    input:
        plan.beside_runs,
    log:
        "results/logs/export.log",
    conda:
        "../../envs/cuda.yaml"
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/export.py --run {params.run} --output-folder reports/export"
        " 2>&1 | tee {log}"
