"""The torture: everything that may go wrong, at random, for minutes, and a ledger of every delivery owed.

`python -m tests.faults torture --seeds 1-10 --minutes 5`. Real replicas, a real Valkey that syncs every write,
real publishers in processes of their own, and pages that are the unmodified `socket.io-client`. What was published
is read from Valkey's own append-only file, so that the ledger believes nobody; what a page may expect follows from
what it asked for and was answered, nothing else.

| module | what |
| --- | --- |
| `ledger` | what was published, and what a page saw: the records |
| `truth` | reads the append-only file |
| `judge`, `publishing`, `verdict` | from both to what is lost, doubled, out of order, or not for a page; pure |
| `pages` | tabs, each with a network of its own |
| `load` | what is published |
| `chaos`, `of_tabs`, `of_servers` | what goes wrong |
| `trial` | one seed, from the first tab to the verdict |
| `report` | the table, and the story of each violation |
"""
