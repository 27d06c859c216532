rule measure_model:
    """Measure how fast a model answers at fixed lengths, by the number of streams."""
    input:
        status=plan.model,
    output:
        "results/benchmarks/{model}/{key}.json",
    log:
        "results/logs/benchmark/{model}.{key}.log",
    wildcard_constraints:
        key=plan.missing_benchmarks,
    conda:
        "../../envs/cuda.yaml"
    resources:
        gpu=plan.gpus,
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/benchmark.py --run {params.run} --model {wildcards.model} --log {log}"


rule benchmark:
    """Show how fast the models answer."""
    input:
        plan.benchmarks,
    log:
        "results/logs/benchmark.log",
    conda:
        "../../envs/cuda.yaml"
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/benchmark.py --run {params.run} 2>&1 | tee {log}"
