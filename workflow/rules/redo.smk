rule redo:
    """Drop everything of the chosen pairs, so that the next run makes them anew."""
    input:
        run=plan.redo_input,
    log:
        "results/logs/redo.log",
    conda:
        "../../envs/cuda.yaml"
    shell:
        "python workflow/scripts/redo.py --run {input.run} 2>&1 | tee {log}"
