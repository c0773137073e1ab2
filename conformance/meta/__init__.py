"""Tests of the suite itself: that what must be rejected is rejected."""
