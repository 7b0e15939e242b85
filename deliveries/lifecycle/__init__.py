"""The only writer of `Delivery.status`: every statement of the state machine (docs/state-machine.md), and nothing else.

    accept.py   jobs → rows                      on Django's connection, inside the caller's transaction
    accept_people.py  rows for many people      a part of the fan-out's statement
    claim.py    due rows → a lease               on an event loop's connection
    start.py    lease → SENDING, attempts + 1    on an event loop's connection
    finish.py   SENDING → what became of it      on an event loop's connection
    outcome.py  what the provider says later,
                beside the status                on Django's connection, by callbacks
    settle.py   expired, abandoned, cancelled,
                no sender any more               on Django's connection, by the sweeper
    lanes.py    pause, resume, cancel, pace      on Django's connection, by staff
    holds.py    hold, let go, and what is put
                aside meanwhile                 on Django's connection, by staff and the sweeper
    unwanted.py who must get nothing             conditions for the others
    serving.py  who serves a tenant's channel     conditions for the others
    replay.py   replay and cancel single rows    on Django's connection, by staff

Time is the database's (`statement_timestamp()`). No transaction stays open across a network call.
"""

from deliveries.lifecycle.accept import Accepted, NewRow, RowsMissingError, accept
from deliveries.lifecycle.accept_people import insert_people, shared_values
from deliveries.lifecycle.claim import ClaimedRow, Tenants, claim, claim_suspects, is_paced
from deliveries.lifecycle.finish import Outcome, finish
from deliveries.lifecycle.holds import hold_let_go, hold_place
from deliveries.lifecycle.lanes import lane_cancel, lane_pause, lane_resume, lane_set_pace, lanes_open, lanes_share_pace
from deliveries.lifecycle.outcome import Recorded, record_outcomes
from deliveries.lifecycle.replay import cancel, has_younger, replay
from deliveries.lifecycle.serving import unserved
from deliveries.lifecycle.settle import Swept, sweep
from deliveries.lifecycle.start import Person, give_back, start

__all__ = [
    "Accepted",
    "ClaimedRow",
    "NewRow",
    "Outcome",
    "Person",
    "Recorded",
    "RowsMissingError",
    "Swept",
    "Tenants",
    "accept",
    "cancel",
    "claim",
    "claim_suspects",
    "finish",
    "give_back",
    "has_younger",
    "hold_let_go",
    "hold_place",
    "insert_people",
    "is_paced",
    "lane_cancel",
    "lane_pause",
    "lane_resume",
    "lane_set_pace",
    "lanes_open",
    "lanes_share_pace",
    "record_outcomes",
    "replay",
    "shared_values",
    "start",
    "sweep",
    "unserved",
]
