rule summarize:
    """Put the results of all pairs into tables."""
    input:
        plan.scores,
    output:
        "results/summary/leaderboard.csv",
        "results/summary/performance.csv",
        "results/summary/models.csv",
        "results/summary/comparisons.csv",
        "results/summary/standings.csv",
        "results/summary/differences.csv",
        "results/summary/samples.parquet",
        "results/summary/provenance.json",
        "results/summary/failures.json",
    log:
        "results/logs/summarize.log",
    conda:
        "../../envs/cuda.yaml"
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/summarize.py --run {params.run} --output-folder results/summary"
        " 2>&1 | tee {log}"


rule report:
    """Show the tables, plots and samples on one page."""
    input:
        "results/summary/leaderboard.csv",
        "results/summary/performance.csv",
        "results/summary/models.csv",
        "results/summary/comparisons.csv",
        "results/summary/standings.csv",
        "results/summary/differences.csv",
        "results/summary/samples.parquet",
        "results/summary/provenance.json",
        "results/summary/failures.json",
    output:
        "reports/index.html",
        "reports/report.md",
        directory("reports/figures"),
        directory("reports/samples"),
    log:
        "results/logs/report.log",
    conda:
        "../../envs/cuda.yaml"
    params:
        run=plan.path,
    shell:
        "python workflow/scripts/report.py --run {params.run} --summary results/summary"
        " --output-folder reports 2>&1 | tee {log}"
