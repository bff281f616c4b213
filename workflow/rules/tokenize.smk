rule tokenize:
    input:
        manifests=of_run("manifest.parquet"),
        config=f"{RUNS}/{{run}}/config/tokenize.yaml",
        base=base("vocab.json"),
    output:
        vocab=f"{RUNS}/{{run}}/tokenizer/vocab.json",
        report=report(
            f"{RUNS}/{{run}}/tokenizer/tokenizer.json",
            caption="../report/tokenizer.rst",
            category="Runs",
            subcategory="{run}",
        ),
    log:
        f"{RUNS}/{{run}}/logs/tokenize.log",
    benchmark:
        f"{RUNS}/{{run}}/benchmarks/tokenize.tsv"
    conda:
        ENVIRONMENT
    params:
        settings=digest_of(f"{RUNS}/{{run}}/config/tokenize.yaml"),
        base=project.base_folder,
        datasets=dataset_options,
        out=subpath(output.vocab, ancestor=2),
    shell:
        "xtts tokenize --config {input.config:q} --base {params.base:q} {params.datasets:q}"
        " --out {params.out:q} 2> {log:q}"
