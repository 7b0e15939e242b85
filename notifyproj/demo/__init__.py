"""The demo: the whole service with sample data on one machine, and the tour page. Installed only with DEMO=1; nothing else imports it."""
