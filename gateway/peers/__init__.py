"""The other replicas and workers: who they are, and what is passed on to them.

A long-polling session lives in one process, and a balancer sends its requests to any. The session's id begins
with the name of the process that holds it, so whoever gets a request of another's session passes it on.
"""

from gateway.peers.forward import Forwarding
from gateway.peers.names import new_name
from gateway.peers.registry import Peer, Registry
from gateway.peers.workers import Worker

__all__ = ["Forwarding", "Peer", "Registry", "Worker", "new_name"]
