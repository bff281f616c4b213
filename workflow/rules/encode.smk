rule encode:
    """The feature store beside the index is content-addressed and undeclared, so that it survives every re-run.

    After `encode_part` nothing is left to compute here, only every byte to check and the index to write.
    """
    input:
        manifest=f"{DATASETS}/{{dataset}}/manifest.parquet",
        config=f"{DATASETS}/{{dataset}}/config/encode.yaml",
        base=base("config.json", "dvae.pth", "mel_stats.pth"),
        parts=encode_parts,
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
        gpu=int(project.encode_jobs == 1),
    params:
        settings=digest_of(f"{DATASETS}/{{dataset}}/config/encode.yaml"),
        base=project.base_folder,
        out=subpath(output.index, parent=True),
    shell:
        "xtts encode --config {input.config:q} --base {params.base:q} --out {params.out:q} 2> {log:q}"


rule encode_part:
    """One of the jobs that share a dataset. The file, beside its shards, only says that it is through."""
    input:
        manifest=f"{DATASETS}/{{dataset}}/manifest.parquet",
        config=f"{DATASETS}/{{dataset}}/config/encode.yaml",
        base=base("config.json", "dvae.pth", "mel_stats.pth"),
    output:
        done=touch(f"{DATASETS}/{{dataset}}/features/part-{{part}}-of-{{parts}}.done"),
    log:
        f"{DATASETS}/{{dataset}}/logs/encode-part-{{part}}-of-{{parts}}.log",
    benchmark:
        f"{DATASETS}/{{dataset}}/benchmarks/encode-part-{{part}}-of-{{parts}}.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        gpu=1,
    params:
        settings=digest_of(f"{DATASETS}/{{dataset}}/config/encode.yaml"),
        base=project.base_folder,
        out=subpath(output.done, ancestor=2),
    shell:
        "xtts encode --config {input.config:q} --base {params.base:q} --out {params.out:q}"
        " --part {wildcards.part}/{wildcards.parts} 2> {log:q}"
