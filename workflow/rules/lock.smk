rule lock:
    """Write down the commits that the chosen models and datasets are at now."""
    input:
        plan.beside_runs,
    log:
        "results/logs/lock.log",
    conda:
        "../../envs/cuda.yaml"
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/lock.py --run {params.run} 2>&1 | tee {log}"
