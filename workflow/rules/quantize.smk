# llm-compressor wants other versions of some packages than vLLM does: it lies in a folder of its own.
rule quantizer:
    """Install llm-compressor."""
    output:
        plan.quantizer,
    log:
        "results/logs/quantizer.log",
    conda:
        "../../envs/cuda.yaml"
    shell:
        "python workflow/scripts/quantizer.py 2>&1 | tee {log}"


rule quantize_model:
    """Make a model of four bits a weight from a fetched one."""
    input:
        base=plan.base,
        quantizer=plan.quantizer,
    output:
        status="results/models/{model}/{source}.json",
    log:
        "results/logs/quantize_model/{model}.{source}.log",
    wildcard_constraints:
        source=plan.missing_quantized,
    priority: 90
    conda:
        "../../envs/cuda.yaml"
    resources:
        gpu=plan.quantizing_gpus,
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/quantize.py --run {params.run} --model {wildcards.model}"
        " --status {output.status} --packages .quantizer --log {log}"


rule quantize:
    """Show what was quantized."""
    input:
        plan.quantized,
    log:
        "results/logs/quantize.log",
    conda:
        "../../envs/cuda.yaml"
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/quantize.py --run {params.run} 2>&1 | tee {log}"
