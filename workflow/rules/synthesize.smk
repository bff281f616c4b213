rule synthesize:
    input:
        bundle=f"{RUNS}/{{run}}/bundle/bundle.json",
        selected=f"{RUNS}/{{run}}/selected.json",
        manifests=of_run("manifest.parquet"),
        config=f"{RUNS}/{{run}}/config/synthesize.yaml",
    output:
        synthesis=f"{RUNS}/{{run}}/synthesis/synthesis.json",
    log:
        f"{RUNS}/{{run}}/logs/synthesize.log",
    benchmark:
        f"{RUNS}/{{run}}/benchmarks/synthesize.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        gpu=1,
    params:
        settings=digest_of(f"{RUNS}/{{run}}/config/synthesize.yaml"),
        bundle=subpath(input.bundle, parent=True),
        datasets=dataset_options,
        out=subpath(output.synthesis, ancestor=2),
    shell:
        "xtts synthesize --config {input.config:q} {params.datasets:q}"
        " --out {params.out:q} -- {params.bundle:q} 2> {log:q}"
