"""The cases AC-1 to AC-26 of people who run such systems, each a test by that name."""
