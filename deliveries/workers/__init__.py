"""Processes as things that are watched: heartbeats, and the periodic workers that `manage.py run_worker` runs.

`heartbeat.py` shows one process to the world, `registry.py` names the periodic workers, `periodic.py` runs them,
`impatient.py` asks a database that may have stalled, `overview.py` tells who is well. What the workers do is written
elsewhere.
"""
