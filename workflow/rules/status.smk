rule status:
    """Show which of the chosen pairs are done, missing, failed or running, and what the rest takes."""
    input:
        plan.beside_runs,
    log:
        "results/logs/status.log",
    conda:
        "../../envs/cuda.yaml"
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/status.py --run {params.run} 2>&1 | tee {log}"
