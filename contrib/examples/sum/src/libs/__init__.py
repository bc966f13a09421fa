"""Helpers of the program."""
