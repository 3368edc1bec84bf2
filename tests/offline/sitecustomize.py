"""Run by every Python that finds this folder in PYTHONPATH: the test run's own, and those that tests start."""

import offline

offline.install()
