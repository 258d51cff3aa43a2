"""The server: REST under ``/api/v1``, and what a team needs to leave it running.

app      puts everything together                 access   who asks, and what they may
routes   one module for each kind of thing        shapes   what goes over the wire
"""
