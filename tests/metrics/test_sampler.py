"""What is looked at again and again: whether files can still be opened."""

from __future__ import annotations

import os
import resource
from typing import Any, cast

from structlog.testing import capture_logs

from gateway.app.sampler import Vitals


def test_running_out_of_files_is_said_and_counted() -> None:
    vitals = Vitals(cast(Any, None), 0.1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with capture_logs() as lines:
        vitals.look_for_files()
        next_file = os.dup(2)
        os.close(next_file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_file, hard))
        try:
            vitals.look_for_files()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        vitals.look_for_files()
    assert vitals.files_exhausted == 1
    assert lines == [{"event": "files_exhausted", "log_level": "error", "limit": next_file}]
