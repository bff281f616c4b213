rule train:
    """Checkpoints lie in an undeclared folder: Snakemake would delete declared ones before every attempt.

    A job that runs out of its `runtime` saves in time and exits 75; the next attempt continues where it stopped.
    """
    input:
        manifests=of_run("manifest.parquet"),
        features=of_run("features.parquet"),
        vocab=f"{RUNS}/{{run}}/tokenizer/vocab.json",
        config=f"{RUNS}/{{run}}/config/train.yaml",
        base=base("config.json", "model.pth"),
    output:
        summary=report(
            f"{RUNS}/{{run}}/summary.json",
            caption="../report/summary.rst",
            category="Runs",
            subcategory="{run}",
        ),
    log:
        f"{RUNS}/{{run}}/logs/train.log",
    benchmark:
        f"{RUNS}/{{run}}/benchmarks/train.tsv"
    conda:
        ENVIRONMENT
    threads: 16
    resources:
        gpu=1,
        runtime=1440,
    params:
        base=project.base_folder,
        datasets=dataset_options,
        out=subpath(output.summary, parent=True),
        stop_early_s=300,
    shell:
        "xtts train --config {input.config:q} --base {params.base:q} {params.datasets:q} --out {params.out:q}"
        " --max-seconds $(( {resources.runtime} * 60 - {params.stop_early_s} )) 2> {log:q}"
