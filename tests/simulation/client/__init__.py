"""Simulated browsers that speak as socket.io-client 4.8 does; `test_like_the_real_one.py` compares the two."""
