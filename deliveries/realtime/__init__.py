"""Realtime: notifications to open sockets, live and replayed.

    protocol.py     frames in and out; pure
    auth.py         who a socket belongs to: the JWT
    connection.py   one socket: its bounded queue and its writer
    hub.py          the sockets of this process and what reaches them
    doorbell.py     the process's one subscription on the channel layer, and its gaps
    publish.py      ringing that bell from any process
    inbox.py        the rows behind it all: replay, re-read, acknowledge, unread (all SQL of this package)
    consumers.py    the WebSocket endpoint

The inbox item is the ws delivery row. The layer may drop; the row is the truth, and what is not acknowledged is replayed.
Nothing here writes `Delivery.status`.
"""
