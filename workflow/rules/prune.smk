rule prune:
    """List predictions that no configuration yields any more; with confirm=true, remove them."""
    input:
        plan.prune_input,
    log:
        "results/logs/prune.log",
    conda:
        "../../envs/cuda.yaml"
    params:
        config=plan.given,
    shell:
        "python workflow/scripts/prune.py --config {params.config:q} 2>&1 | tee {log}"
