"""Whether anybody is there who could approve a broadcast: staff with the permission who neither wrote it nor asked for the approval."""

from __future__ import annotations

from django.contrib.auth import get_user_model

from broadcasts.models import Broadcast


def has_approver(broadcast: Broadcast) -> bool:
    """Say so. Where nobody is, its sender types the number of people instead (`changes.broadcast_send`). One query."""
    users = get_user_model()._default_manager.with_perm(
        "broadcasts.approve_broadcast", backend="django.contrib.auth.backends.ModelBackend"
    )
    involved = [broadcast.created_by, broadcast.updated_by, broadcast.submitted_by]
    return users.filter(is_staff=True).exclude(username__in=involved).exists()
