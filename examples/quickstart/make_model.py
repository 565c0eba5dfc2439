"""Writes a graph of two operators: degrees Celsius in, degrees Fahrenheit out."""

import numpy as np

from pipeserve_native import export

PATH = "thermometer/1/fahrenheit.mindir"  # Version 1 of the servable "thermometer".

graph = export.Graph("fahrenheit")
celsius = graph.input("celsius", (-1,), np.float32)  # As many as a request has.
factor = graph.parameter("factor", np.float32(1.8))
offset = graph.parameter("offset", np.float32(32))
graph.output(graph.add(graph.mul(celsius, factor), offset))
graph.save(PATH)
print(f"Wrote {PATH}")
