"""Monitoring: the alerts with their runbook, and the dashboard.

Both are tables here. `make docs` writes `deploy/alerts/gateway.rules.yaml`, `deploy/grafana/dashboard.json` and
the runbook's section on alerts from them; a test checks every query against a running `/metrics`.
"""
