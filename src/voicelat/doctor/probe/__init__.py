"""What runs in the process of an examined application: it watches, and judges nothing.

Imported before the application, so it imports little: no logging, no threading, no sockets, whose
locks a later ``monkey_patch()`` would find. Everything it saw goes to the doctor as `seen.Seen`.
"""
