"""The metrics: the catalogue of all series, the page `/metrics`, the alerts and the dashboard."""
