rule check_dataset:
    """Judge a dataset's reference answers, and wrong ones."""
    input:
        samples=plan.samples,
    output:
        "results/oracle/{dataset}/{key}.json",
    log:
        "results/logs/oracle/{dataset}.{key}.log",
    wildcard_constraints:
        key=plan.missing_oracles,
    conda:
        "../../envs/cuda.yaml"
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/oracle.py --run {params.run} --dataset {wildcards.dataset}"
        " 2>&1 | tee {log}"


rule oracle:
    """Show for each dataset how its reference answers and wrong ones score."""
    input:
        plan.oracles,
    log:
        "results/logs/oracle.log",
    conda:
        "../../envs/cuda.yaml"
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/oracle.py --run {params.run} 2>&1 | tee {log}"
