"""The composition root: wires settings, URLs, ASGI, the broker and the demo together. Decides nothing about notifications."""
