"""The checks that need a user or run something, and the user they get here."""

from __future__ import annotations

from openeo_backend.federation.review.check import checks

USER, PASSWORD = "ada", "lovelace"

#: Modules with such checks.
TRIAL_MODULES = ("accounting", "callbacks", "identity", "jobs", "loading", "logs", "results", "stored", "sync")
TRIAL_CHECKS = [check for check in checks() if check.function.__module__.rpartition(".")[2] in TRIAL_MODULES]
