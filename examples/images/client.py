"""Asks about three images in one request, over gRPC and over REST."""

import base64
import json
import urllib.request
from pathlib import Path
from typing import Any

from pipeserve_native.client import Client

FILES = [Path(name) for name in ("horizontal.png", "vertical.jpg", "diagonal.png")]


def over_grpc() -> list[dict[str, Any]]:
    """An instance per image; its input is the bytes of the file."""
    client = Client("localhost:5500", "stripes", "classify")
    reply = client.infer([{"image": file.read_bytes()} for file in FILES])
    if isinstance(reply, dict):
        raise SystemExit(reply["error"])
    return reply


def over_rest() -> list[dict[str, Any]]:
    """The same in JSON, where bytes are base64."""
    images = [base64.b64encode(file.read_bytes()).decode() for file in FILES]
    body = json.dumps({"instances": [{"image": {"b64": text}} for text in images]})
    url = "http://localhost:1500/model/stripes:classify"
    with urllib.request.urlopen(url, body.encode()) as reply:
        instances: list[dict[str, Any]] = json.load(reply)["instances"]
    return instances


if __name__ == "__main__":
    for door, instances in (("gRPC", over_grpc()), ("REST", over_rest())):
        for file, instance in zip(FILES, instances, strict=True):
            print(f"{door}: {file} is {instance['label']}, score {instance['score']:.2f}")
