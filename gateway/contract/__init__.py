"""The event contract as documents, tables and types, made from `publisher.events`."""

from gateway.contract.route import ContractPage

__all__ = ["ContractPage"]
