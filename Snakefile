# The workflow itself is workflow/Snakefile; this file lets `snakemake` find it from the repository root.
include: "workflow/Snakefile"


rule default:
    default_target: True
    input:
        rules.all.input,
