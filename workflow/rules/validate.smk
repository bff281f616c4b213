rule validate:
    """What says why rows were refused counts as a log: Snakemake keeps those when a job fails, and names them.

    `split.parquet` beside the manifest remembers the sides of all clips; undeclared, so that it survives every re-run.
    """
    input:
        metadata=metadata_of,
        config=f"{DATASETS}/{{dataset}}/config/validate.yaml",
    output:
        manifest=f"{DATASETS}/{{dataset}}/manifest.parquet",
        validation=f"{DATASETS}/{{dataset}}/validation.json",
    log:
        stderr=f"{DATASETS}/{{dataset}}/logs/validate.log",
        rejects=f"{DATASETS}/{{dataset}}/rejects.csv",
        warnings=f"{DATASETS}/{{dataset}}/warnings.csv",
        page=f"{DATASETS}/{{dataset}}/validation.html",
    benchmark:
        f"{DATASETS}/{{dataset}}/benchmarks/validate.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    params:
        settings=digest_of(f"{DATASETS}/{{dataset}}/config/validate.yaml"),
        recordings=recordings_of,
        out=subpath(output.manifest, parent=True),
    shell:
        "xtts validate --config {input.config:q} --out {params.out:q} 2> {log.stderr:q}"
