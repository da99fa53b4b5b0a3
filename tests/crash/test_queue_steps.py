import subprocess
import sys
from pathlib import Path


def test_whatever_step_the_queue_is_stopped_at_its_promises_hold() -> None:
    story = Path(__file__).with_name("queue_steps.py")
    root = str(Path(__file__).parents[2])
    ran = subprocess.run([sys.executable, story], capture_output=True, text=True, timeout=120, env={"PYTHONPATH": root})
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 60
