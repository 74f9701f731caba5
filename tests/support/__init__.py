"""What the tests share: real servers and clients, and waiting for them without sleeping."""
