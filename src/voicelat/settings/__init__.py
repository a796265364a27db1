"""Every setting: its name, type, default, unit, bounds and meaning, and where its value is from.

The one package that reads the environment, ``.env`` and ``voicelat.toml``. A value is taken from
the first place that has one: command line, environment, ``.env`` in the working directory,
``voicelat.toml`` there (or the file that ``VOICELAT_CONFIG`` names), default.

Names are environment names everywhere; the attribute is the name in lower case. An empty value
means "none" where a setting may be none, and is an error elsewhere.
"""

from voicelat.settings.catalog import SETTINGS, Setting, Value
from voicelat.settings.load import Settings, load

__all__ = ["SETTINGS", "Setting", "Settings", "Value", "load"]
