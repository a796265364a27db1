"""The reference Twilio server: webhook, media socket, health and metrics on one port."""
