"""WhatsApp: what messages are carried by, in a process beside calls and agents."""
