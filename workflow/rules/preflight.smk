rule preflight:
    """Say what the chosen pairs will meet and take: access, disk, memory, tokens, time, energy, and why they run."""
    log:
        "results/logs/preflight.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/preflight.py --run {params.run} 2>&1 | tee {log}"
