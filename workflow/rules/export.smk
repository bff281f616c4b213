rule export:
    """The bundle is replaced as a whole by the command; `bundle.json` stands for it."""
    input:
        selected=f"{RUNS}/{{run}}/selected.json",
        summary=f"{RUNS}/{{run}}/summary.json",
        vocab=f"{RUNS}/{{run}}/tokenizer/vocab.json",
        manifests=of_run("manifest.parquet"),
        features=of_run("features.parquet"),
        config=f"{RUNS}/{{run}}/config/export.yaml",
        base=base(
            "config.json",
            "dvae.pth",
            "mel_stats.pth",
            "model.pth",
            "speakers_xtts.pth",
            "vocab.json",
        ),
    output:
        bundle=report(
            f"{RUNS}/{{run}}/bundle/bundle.json",
            caption="../report/bundle.rst",
            category="Runs",
            subcategory="{run}",
        ),
    log:
        f"{RUNS}/{{run}}/logs/export.log",
    benchmark:
        f"{RUNS}/{{run}}/benchmarks/export.tsv"
    conda:
        ENVIRONMENT
    params:
        settings=digest_of(f"{RUNS}/{{run}}/config/export.yaml"),
        base=project.base_folder,
        datasets=dataset_options,
        out=subpath(output.bundle, ancestor=2),
    shell:
        "xtts export --config {input.config:q} --base {params.base:q} {params.datasets:q}"
        " --out {params.out:q} 2> {log:q}"
