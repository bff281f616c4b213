rule encode:
    """The feature store beside the index is content-addressed and undeclared, so that it survives every re-run."""
    input:
        manifest=f"{DATASETS}/{{dataset}}/manifest.parquet",
        config=f"{DATASETS}/{{dataset}}/config/encode.yaml",
        base=base("config.json", "dvae.pth", "mel_stats.pth"),
    output:
        index=f"{DATASETS}/{{dataset}}/features.parquet",
    log:
        f"{DATASETS}/{{dataset}}/logs/encode.log",
    benchmark:
        f"{DATASETS}/{{dataset}}/benchmarks/encode.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        gpu=1,
    params:
        base=project.base_folder,
        out=subpath(output.index, parent=True),
    shell:
        "xtts encode --config {input.config:q} --base {params.base:q} --out {params.out:q} 2> {log:q}"
