"""The event contract for everybody else, made from `publisher.events`: documents, tables, types."""

from gateway.contract.route import ContractPage

__all__ = ["ContractPage"]
