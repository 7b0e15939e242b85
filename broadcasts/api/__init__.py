"""Broadcasts and audiences by REST: a view parses, calls one service and words the answer. What /api/ shares is in `deliveries/api/`.

urls.py         every address: below /api/, and 001's below /v1/
serializers.py  what goes in and out
calling.py      who acts on which broadcast; a service's refusals as answers
broadcasts.py   list, create, read, edit, delete, duplicate
approving.py    submit, withdraw, approve, reject, edit again
sending.py      send now, schedule, undo, pause, resume, cancel, speed, retry, the missing, the small group, inboxes
checking.py     check the recipients, send a test
reading.py      history, who was left out, results as CSV
audiences.py    saved audiences
members.py      who is in a list, who subscribed to a topic
"""
