rule select:
    input:
        summary=f"{RUNS}/{{run}}/summary.json",
    output:
        selected=report(
            f"{RUNS}/{{run}}/selected.json",
            caption="../report/selected.rst",
            category="Runs",
            subcategory="{run}",
        ),
    log:
        f"{RUNS}/{{run}}/logs/select.log",
    benchmark:
        f"{RUNS}/{{run}}/benchmarks/select.tsv"
    conda:
        ENVIRONMENT
    params:
        out=subpath(output.selected, parent=True),
    shell:
        "xtts select --out {params.out:q} 2> {log:q}"
