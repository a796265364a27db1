"""Takes its time."""

import time

time.sleep(0.06)
