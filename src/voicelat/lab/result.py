from voicelat.lab.sweep.result import *  # noqa: F403 - moved; removed when everybody has moved
