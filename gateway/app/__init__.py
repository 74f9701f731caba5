"""The process: what a replica is made of, in which order it starts and stops, and what it says of itself."""
