"""What runs inside a service's own interpreter: standard library only, Python 3.8 and later.

The starter forks a supervisor, the supervisor forks the program. Nothing here knows the engine; what these
processes have to tell it, they write into the attempt's folder.
"""
