"""Checks of android_app/ on a Linux machine: what they need (`tools_of`), and the checks (`python -m tools.android`)."""
