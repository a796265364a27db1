"""The reference internal API that the agents' tools call. Replace it by your own.

`voicelat.backoffice.app.create_app` makes the ASGI application; ``python -m voicelat.backoffice``
serves it and mints its tokens. Everything is in the extra ``agents``; nothing here is imported by
the process that carries calls.
"""
