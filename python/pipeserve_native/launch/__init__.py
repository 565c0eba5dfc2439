"""Starts servers and agents on what people run clusters with. A module each:

``pipeserve_native.launch.ray`` needs Ray (``pip install 'pipeserve-native[ray]'``).
"""
