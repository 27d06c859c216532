rule compare:
    """Show what changed since the baseline, what of it is significant, and which answers flipped."""
    input:
        run=plan.compare_input,
    log:
        "results/logs/compare.log",
    conda:
        "../../envs/cuda.yaml"
    params:
        chosen=plan.only_chosen,
    shell:
        "python workflow/scripts/compare.py --run {input.run} --summary results/summary"
        " --output-folder reports {params.chosen} 2>&1 | tee {log}"
