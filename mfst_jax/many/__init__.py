"""Many sources, each tracked by itself into a table of its own, by as many processes and hosts as share a folder."""
