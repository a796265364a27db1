"""Sound: mu-law, frames, levels, resampling, WAV files, voice detection, echo.

At every edge audio is raw G.711 mu-law, 8 kHz, mono: 8 bytes a millisecond, one byte a sample,
0xFF for silence. Inside it is int16 NumPy.
"""

__all__: list[str] = []
