rule train:
    """Checkpoints lie in an undeclared folder: Snakemake would delete declared ones before every attempt.

    A job that runs out of its `runtime` saves `stop_early_s` before and exits 75; the next attempt continues where it
    stopped. Knobs of the machine are resources, which never make anything run again; `gpu=0` takes what GPUs it sees.
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
        nodes=1,
        runtime=1440,
        stop_early_s=300,
    params:
        settings=digest_of(f"{RUNS}/{{run}}/config/train.yaml"),
        base=project.base_folder,
        datasets=dataset_options,
        out=subpath(output.summary, parent=True),
    shell:
        "xtts train --config {input.config:q} --base {params.base:q} {params.datasets:q} --out {params.out:q}"
        " --processes {resources.gpu} --nodes {resources.nodes}"
        " --max-seconds $(( {resources.runtime} * 60 - {resources.stop_early_s} )) 2> {log:q}"
