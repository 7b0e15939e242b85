"""Passwords in tests: hashed as the product does it, but a single time; a million times for each member of staff took most of a run."""

from __future__ import annotations

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class OnceHasher(PBKDF2PasswordHasher):
    """What it makes is checked by the product's own hasher too, in whatever process."""

    iterations = 1
