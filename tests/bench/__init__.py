"""The gateway beside what else a team could run, under the same load: `make bench`, or `python -m tests.bench`."""
