localrules:
    configure,


rule configure:
    """One small file per stage holds exactly the settings that stage depends on: a change re-runs only what it touches."""
    output:
        f"{project.results}/{{kind}}/{{name}}/config/{{stage}}.yaml",
    log:
        f"{project.results}/{{kind}}/{{name}}/logs/configure-{{stage}}.log",
    benchmark:
        f"{project.results}/{{kind}}/{{name}}/benchmarks/configure-{{stage}}.tsv"
    wildcard_constraints:
        kind="datasets|runs",
        name="[^/]+",
        stage="[a-z]+",
    params:
        content=lambda wildcards, output: SLICES[output[0]],
    run:
        from pathlib import Path
        from xtts_framework.files import write_text

        write_text(Path(output[0]), params.content)
