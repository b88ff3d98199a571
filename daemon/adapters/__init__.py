"""One file for each vendor library, its only importer; vendor errors are translated there and nowhere else."""
