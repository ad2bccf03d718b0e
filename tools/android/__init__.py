"""Checks of android_app/ on a Linux machine: their tools (setup), and the checks (check)."""
