"""What `make bench` runs: how fast, how large and where the time goes. Timings live here and nowhere in the tests; nothing here
asserts on them. Every program starts its own servers on 127.0.0.1, and ends what it started."""
