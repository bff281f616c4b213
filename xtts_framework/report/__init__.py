"""The report pages, of a run and of a dataset: each is one HTML file that needs nothing else."""
