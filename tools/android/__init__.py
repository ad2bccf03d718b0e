"""Checks of android_app/ on a Linux machine: the tools that they need (setup), and the checks themselves (check)."""
