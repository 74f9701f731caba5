"""What a running replica says of itself, and what people look at it with."""
