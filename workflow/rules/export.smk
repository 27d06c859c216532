rule export:
    """Write what is finished in the formats of lm-evaluation-harness, inspect_ai and model cards."""
    log:
        "results/logs/export.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/export.py --run {params.run} --output-folder reports/export"
        " 2>&1 | tee {log}"
