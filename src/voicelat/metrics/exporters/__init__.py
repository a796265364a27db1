"""Turns for other people's tools, one file each; none is imported unless it is asked for.

`prometheus` is scraped. `sql` and `otel` write: all of a file's turns with ``voicelat export``, or
live, each behind a `LiveSink` of its own. `tables` makes data frames, CSV and Parquet.
"""
