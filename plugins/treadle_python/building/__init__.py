"""The environments that `treadle build` makes for Python services: what they are made from, and how.

requirements.py, version_request.py     what a project asks for
interpreters.py, conda.py               what this host has
installers.py, tools.py, tool_faults.py uv and pip, run as commands
store.py                                `.venvs/<digest>`, and the link `.venv` to the current one
builder.py                              puts all of it together
state.py                                whether there is something to build
wheels.py, other_hosts.py               `treadle wheels`, for a host without a network
"""
