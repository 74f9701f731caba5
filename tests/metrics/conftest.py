"""An organization for each test."""

from __future__ import annotations

from tests.e2e.conftest import tenant

__all__ = ["tenant"]
