"""API keys: made, checked, revoked. The only code that sees a whole key, and it never logs or stores one.

A key reads `nk_live_<10 characters>_<43 characters>`. All before the last word is public: it is stored as
`prefix`, shown in the admin and written as the entrance of jobs. The last word is a secret of 256 bits, so a plain
SHA-256 of the whole key is enough at rest (nothing to guess, hence nothing that a slow hash would slow down).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.db.models import Q
from django.utils import timezone

from deliveries.models import ApiKey, Tenant

LAST_USED_RESOLUTION: Final = timedelta(minutes=1)
PUBLIC_LENGTH: Final = 10
SECRET_LENGTH: Final = 43  # of 62 letters and digits: 256 bits

_ALPHABET: Final = string.ascii_letters + string.digits
_KEY: Final = re.compile(rf"(?P<prefix>nk_(?:live|test)_[A-Za-z0-9]{{{PUBLIC_LENGTH}}})_[A-Za-z0-9]{{{SECRET_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment when it is whole. `plain` goes to its owner and nowhere else."""

    row: ApiKey
    plain: str

    def __repr__(self) -> str:
        return f"NewKey({self.row.prefix}…)"


def api_key_create(*, tenant: Tenant, name: str, scopes: Iterable[str], mode: str = ApiKey.Mode.LIVE) -> NewKey:
    """Make a key and store its prefix and hash.

    The answer is the only time the whole key is known: show it once. Raises: ValueError for an unknown scope or mode.
    """
    wanted = sorted(set(scopes))
    if unknown := set(wanted) - set(ApiKey.Scope.values):
        raise ValueError(f"No such scope: {', '.join(sorted(unknown))}. Scopes are {', '.join(ApiKey.Scope.values)}.")
    if mode not in ApiKey.Mode.values:
        raise ValueError(f"No such mode: {mode}. Modes are live and test.")
    prefix = f"nk_{mode}_{_random(PUBLIC_LENGTH)}"
    plain = f"{prefix}_{_random(SECRET_LENGTH)}"
    row = ApiKey.objects.create(
        tenant=tenant, name=name, mode=mode, scopes=wanted, prefix=prefix, key_hash=_digest(plain)
    )
    return NewKey(row, plain)


def api_key_check(plain: str) -> ApiKey | None:
    """Find the key that `plain` is, with its tenant. None when it is malformed, unknown, altered or revoked.

    One query, plus one small UPDATE at most once a minute. Compares in constant time.
    """
    match = _KEY.fullmatch(plain)
    if match is None:
        return None
    row = ApiKey.objects.select_related("tenant").filter(prefix=match["prefix"]).first()
    if row is None or not hmac.compare_digest(bytes(row.key_hash), _digest(plain)) or row.revoked_at is not None:
        return None
    _note_use(row)
    return row


def api_key_revoke(*, key: ApiKey) -> bool:
    """Revoke a key; the next request with it is refused. False when it was revoked before."""
    return bool(ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()))


def _note_use(row: ApiKey) -> None:
    """Write `last_used_at` when it is older than its resolution; of many requests at once one writes."""
    now = timezone.now()
    stale = now - LAST_USED_RESOLUTION
    if row.last_used_at is None or row.last_used_at < stale:
        due = Q(last_used_at=None) | Q(last_used_at__lt=stale)
        ApiKey.objects.filter(due, pk=row.pk).update(last_used_at=now)


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _digest(plain: str) -> bytes:
    return hashlib.sha256(plain.encode()).digest()
