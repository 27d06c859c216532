rule lock:
    """Write down the commits that the chosen models and datasets are at now."""
    log:
        "results/logs/lock.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/lock.py --run {params.run} 2>&1 | tee {log}"
