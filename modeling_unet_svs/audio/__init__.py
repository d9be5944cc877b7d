"""Audio files, read ahead and written whole."""
