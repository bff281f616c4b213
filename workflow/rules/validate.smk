rule validate:
    input:
        metadata=metadata_of,
        config=f"{DATASETS}/{{dataset}}/config/validate.yaml",
    output:
        manifest=f"{DATASETS}/{{dataset}}/manifest.parquet",
        rejects=report(
            f"{DATASETS}/{{dataset}}/rejects.csv",
            caption="../report/rejects.rst",
            category="Datasets",
        ),
        validation=f"{DATASETS}/{{dataset}}/validation.json",
    log:
        f"{DATASETS}/{{dataset}}/logs/validate.log",
    benchmark:
        f"{DATASETS}/{{dataset}}/benchmarks/validate.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    params:
        recordings=recordings_of,
        out=subpath(output.manifest, parent=True),
    shell:
        "xtts validate --config {input.config:q} --out {params.out:q} 2> {log:q}"
