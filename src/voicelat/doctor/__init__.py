"""Checks that measure before they accuse: of an application, of a URL, of the settings."""
