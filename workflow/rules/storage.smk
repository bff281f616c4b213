"""Datasets from object storage, bundles to it: no more than that is asked of the storage, and nothing without them.

Snakemake's plugin does all transfers, where `snakemake` runs: nodes of a cluster often see no internet. No `run:` here:
Snakemake starts it by a command line that shows the secret key.
"""

# What lies in `path` is the user's: the source of a dataset that is there is not even looked at.
for name, dataset in project.datasets.items():
    if dataset.source and not (dataset.path / dataset.metadata).is_file():

        rule:
            name:
                f"fetch_{name}"
            input:
                archive=source_of(name),
            output:
                metadata=str(dataset.path / dataset.metadata),
            log:
                f"{DATASETS}/{name}/logs/fetch.log",
            benchmark:
                f"{DATASETS}/{name}/benchmarks/fetch.tsv"
            localrule: True
            conda:
                ENVIRONMENT
            params:
                path=dataset.path,
                metadata=dataset.metadata,
            shell:
                "xtts unpack {input.archive:q} --out {params.path:q} --metadata {params.metadata:q} 2> {log:q}"


if project.publish:
    if workflow.is_main_process:
        exists_in_storage(f"{project.publish}/README.txt", "what is published")

    rule open_shelf:
        """Before a rule runs again its outputs are removed, and the plugin deletes a bucket that this leaves empty."""
        output:
            readme=in_storage(f"{project.publish}/README.txt"),
        log:
            f"{project.results}/logs/open_shelf.log",
        localrule: True
        conda:
            ENVIRONMENT
        shell:
            "echo 'What xtts-framework publishes: one folder per run, with bundle.tar and report.html.'"
            " > {output.readme:q} 2> {log:q}"

    rule publish:
        """One archive is one object: whoever fetches it gets a whole bundle. S3 counts time in whole seconds."""
        input:
            bundle=f"{RUNS}/{{run}}/bundle/bundle.json",
            report=f"{RUNS}/{{run}}/report.html",
            readme=ancient(in_storage(f"{project.publish}/README.txt")),
        output:
            bundle=in_storage(f"{project.publish}/{{run}}/bundle.tar"),
            report=in_storage(f"{project.publish}/{{run}}/report.html"),
        log:
            f"{RUNS}/{{run}}/logs/publish.log",
        benchmark:
            f"{RUNS}/{{run}}/benchmarks/publish.tsv"
        localrule: True
        conda:
            ENVIRONMENT
        params:
            run=subpath(input.bundle, ancestor=2),
        shell:
            "(sleep 1 && tar -C {params.run:q} -cf - bundle > {output.bundle:q}"
            " && cp {input.report:q} {output.report:q}) 2> {log:q}"
