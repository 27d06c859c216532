"""Models with fewer bits a weight, made here from another entry's by llm-compressor.

| module | what it does |
|---|---|
| `environment` | install llm-compressor beside the workflow's own packages |
| `making` | make a quantized model and its status; show what was made |
| `calibration` | draw the passages that AWQ looks at |
| `compressor` | the only module that calls llm-compressor |

llm-compressor wants other versions of transformers and compressed-tensors than vLLM does. It lies in a
folder of its own, `.quantizer`, which only the job that quantizes puts before the others.
"""
