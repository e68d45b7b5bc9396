"""Fixtures of every test on the cluster."""

from __future__ import annotations

from tests.support.installation import installation as installation
