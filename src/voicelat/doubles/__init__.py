"""Test doubles of the cloud's services, on loopback, as slow as a profile says.

They speak the vendors' own wire formats, so the real clients run against them: a real gRPC server
for Google's ears and voice, a real HTTP server for OpenAI's model. They understand nothing: ears
tell a word per 400 ms of voice, the model always says the same, the voice murmurs.

    python -m voicelat.doubles --profile google-openai-google --hang 0.05
"""
