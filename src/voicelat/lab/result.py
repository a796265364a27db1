from voicelat.lab.sweep.result import *  # noqa: F403 - moved; removed when everybody has moved
from voicelat.lab.sweep.result import __all__
