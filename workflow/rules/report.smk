rule report:
    input:
        validations=of_run("validation.json"),
        tokenizer=f"{RUNS}/{{run}}/tokenizer/tokenizer.json",
        summary=f"{RUNS}/{{run}}/summary.json",
        selected=f"{RUNS}/{{run}}/selected.json",
        bundle=f"{RUNS}/{{run}}/bundle/bundle.json",
        synthesis=f"{RUNS}/{{run}}/synthesis/synthesis.json",
        config=f"{RUNS}/{{run}}/config/report.yaml",
    output:
        html=report(
            f"{RUNS}/{{run}}/report.html",
            caption="../report/report.rst",
            category="Runs",
            subcategory="{run}",
        ),
    log:
        f"{RUNS}/{{run}}/logs/report.log",
    benchmark:
        f"{RUNS}/{{run}}/benchmarks/report.tsv"
    conda:
        ENVIRONMENT
    params:
        settings=digest_of(f"{RUNS}/{{run}}/config/report.yaml"),
        datasets=dataset_options,
        out=subpath(output.html, parent=True),
    shell:
        "xtts report --config {input.config:q} {params.datasets:q} --out {params.out:q} 2> {log:q}"
