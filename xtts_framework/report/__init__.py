"""The report page: what a run read, learned and says, in one HTML file that needs nothing else."""
