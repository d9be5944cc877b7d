"""Model cards, and models on the Hub."""
