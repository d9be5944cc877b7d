"""Songs, from folders and the Hub to batches of mixtures."""
