"""The service: HTTP to rows, rows to the predictor, answers to HTTP.

``released`` says what a release is and verifies it, ``body`` reads a request, ``app`` answers it, ``schema`` describes
it, ``main`` is what BentoML serves. Nothing here imports what trains.
"""
