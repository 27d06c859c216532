rule score:
    """Judge a pair's answers; model-written programs run in a sandbox."""
    input:
        unpack(plan.score_inputs),
    output:
        "results/pairs/{model}/{dataset}/{key}/score-{scorer}/scores.jsonl",
        "results/pairs/{model}/{dataset}/{key}/score-{scorer}/metrics.json",
        "results/pairs/{model}/{dataset}/{key}/score-{scorer}/timings.jsonl",
    log:
        "results/logs/score/{model}.{dataset}.{key}.{scorer}.log",
    wildcard_constraints:
        key=plan.missing_scores,
    priority: 10  # above predictions: Snakemake looks at all jobs that wait each time it chooses one
    conda:
        "../../envs/cuda.yaml"
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/score.py --run {params.run} --model {wildcards.model}"
        " --dataset {wildcards.dataset} 2>&1 | tee {log}"
