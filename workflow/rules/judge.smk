# A judge is asked about all answers in one engine start, when they are there.
rule judge:
    """Start the judge's engine and have it judge all conversations that lack its verdicts."""
    input:
        unpack(plan.judge_inputs),
    output:
        status=temp("results/engines/{model}/judge.json"),
        requests=temp(directory("results/engines/{model}/judge.requests")),
    log:
        "results/logs/judge/{model}.log",
    priority: 40
    conda:
        "../../envs/cuda.yaml"
    resources:
        gpu=plan.gpus,
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/judge.py --run {params.run} --model {wildcards.model}"
        " --status {output.status} --requests {output.requests} --log {log}"


rule verdicts:
    """Collect the judge's verdicts on a pair from the journal."""
    input:
        unpack(plan.judge_outputs),
    output:
        "results/pairs/{model}/{dataset}/{key}/judge-{judging}/verdicts.jsonl",
        "results/pairs/{model}/{dataset}/{key}/judge-{judging}/prompts.jsonl",
        "results/pairs/{model}/{dataset}/{key}/judge-{judging}/meta.json",
    log:
        "results/logs/verdicts/{model}.{dataset}.{key}.{judging}.log",
    wildcard_constraints:
        judging=plan.missing_verdicts,
    conda:
        "../../envs/cuda.yaml"
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/verdicts.py --run {params.run} --model {wildcards.model}"
        " --dataset {wildcards.dataset} 2>&1 | tee {log}"
