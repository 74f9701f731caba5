"""The other replicas and workers: how to find them, and how to forward requests to them.

A long-polling session lives in one process, but a balancer may send its requests to any. The session's id begins
with the name of its process, so any other process can forward the request.
"""

from gateway.peers.forward import Forwarding
from gateway.peers.names import new_name
from gateway.peers.registry import Peer, Registry
from gateway.peers.workers import Worker

__all__ = ["Forwarding", "Peer", "Registry", "Worker", "new_name"]
