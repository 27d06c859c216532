rule redo:
    log:
        "results/logs/redo.log",
    conda:
        "../../envs/cpu.yaml"
    """Drop everything of the chosen pairs, so that the next run makes them anew."""
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/redo.py --run {params.run} 2>&1 | tee {log}"
