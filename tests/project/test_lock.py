import subprocess
import sys

import pytest

from pipelines.artifacts.layout import Layout
from pipelines.errors import BusyError
from pipelines.project.lock import locked


def test_a_second_process_is_refused_with_the_id_of_the_first(tmp_path):
    program = (
        "import sys; from pathlib import Path;"
        "from pipelines.artifacts.layout import Layout;"
        "from pipelines.project.lock import locked\n"
        "with locked(Layout(Path(sys.argv[1]))):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(BusyError, match=str(process.pid)),
            locked(Layout(tmp_path)),
        ):
            pass
        process.kill()
    with locked(Layout(tmp_path)):  # freed with its process, however it ended
        pass
