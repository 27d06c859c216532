rule preflight:
    """Say what the chosen pairs will meet and take: access, disk, memory, tokens, time, energy, and why they run."""
    input:
        plan.beside_runs,
    log:
        "results/logs/preflight.log",
    conda:
        "../../envs/cuda.yaml"
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/preflight.py --run {params.run} 2>&1 | tee {log}"
