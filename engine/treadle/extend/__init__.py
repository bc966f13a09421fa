"""Plugins: found and loaded, isolated from each other, and told what happens."""
