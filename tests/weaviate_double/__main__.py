"""`python -m tests.weaviate_double [HTTP_PORT GRPC_PORT]`: serve until ended; prints settings."""

from __future__ import annotations

import signal
import sys
import threading

from tests.weaviate_double.server import Double

if __name__ == "__main__":
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    with Double.serving(*(int(port) for port in sys.argv[1:3])) as double:
        for name, value in double.environ.items():
            print(f"{name}={value}", flush=True)
        print("ready", flush=True)
        over.wait()
