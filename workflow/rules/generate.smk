# One engine start answers all missing pairs of a model: starting it costs more than answering.
rule generate:
    """Start a model's engine and have all its missing pairs answered."""
    input:
        unpack(plan.engine_inputs),
    output:
        status=temp("results/engines/{model}/{part}.json"),
        requests=temp(directory("results/engines/{model}/{part}.requests")),
    log:
        "results/logs/generate/{model}.{part}.log",
    priority: 50
    conda:
        "../../envs/cuda.yaml"
    resources:
        gpu=plan.gpus,
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/generate.py --run {params.run} --model {wildcards.model}"
        " --part {wildcards.part} --status {output.status} --requests {output.requests} --log {log}"


rule predictions:
    """Collect a pair's answers from the journal."""
    input:
        unpack(plan.engine_outputs),
    output:
        "results/pairs/{model}/{dataset}/{key}/predictions.jsonl",
        "results/pairs/{model}/{dataset}/{key}/prompts.jsonl",
        "results/pairs/{model}/{dataset}/{key}/timings.jsonl",
        "results/pairs/{model}/{dataset}/{key}/meta.json",
    log:
        "results/logs/predictions/{model}.{dataset}.{key}.log",
    wildcard_constraints:
        key=plan.missing_keys,
    conda:
        "../../envs/cuda.yaml"
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/predictions.py --run {params.run} --model {wildcards.model}"
        " --dataset {wildcards.dataset} 2>&1 | tee {log}"
