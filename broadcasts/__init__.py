"""One message, to many people. Builds on deliveries; deliveries knows nothing of it."""
