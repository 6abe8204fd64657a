"""What people look at: the table on the terminal, and HTML pages. Reads a `Result` and nothing else."""
