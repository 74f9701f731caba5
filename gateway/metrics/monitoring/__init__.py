"""Monitoring: alerts with the meaning of each, and a dashboard.

Both are tables here. `make docs` writes `deploy/alerts/gateway.rules.yaml`, `deploy/grafana/dashboard.json` and
the runbook's section on alerts out of them; a test holds every query against a running `/metrics`.
"""
