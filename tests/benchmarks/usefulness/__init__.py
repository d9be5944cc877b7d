"""What stems are good for: melodies, singers, karaoke and words of the mixture, of ours and of the true stems."""
