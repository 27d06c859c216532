# Fetching comes first, so that a licence that is not accepted shows before a GPU is asked for.
rule fetch_dataset:
    """Bring a dataset here and normalise it."""
    output:
        samples="results/datasets/{dataset}/{source}.jsonl",
        status="results/datasets/{dataset}/{source}.json",
    log:
        "results/logs/fetch_dataset/{dataset}.{source}.log",
    wildcard_constraints:
        source=plan.missing_datasets,
    priority: 100
    conda:
        "../../envs/cuda.yaml"
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/fetch_dataset.py --run {params.run} --dataset {wildcards.dataset}"
        " --samples {output.samples} --status {output.status} --log {log}"


rule fetch_model:
    """Bring a model and its tokenizer here."""
    output:
        status="results/models/{model}/{source}.json",
    log:
        "results/logs/fetch_model/{model}.{source}.log",
    wildcard_constraints:
        source=plan.missing_models,
    priority: 100
    conda:
        "../../envs/cuda.yaml"
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/fetch_model.py --run {params.run} --model {wildcards.model}"
        " --status {output.status} --log {log}"
