"""The metrics: every series by name, the page they are on, and the alerts and the dashboard made of them."""
