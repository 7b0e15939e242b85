"""One notification, to one person, over one channel. Knows nothing of broadcasts."""
