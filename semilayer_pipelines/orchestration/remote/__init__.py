"""What we ask of a Dagster that is running: launch a run, reload, say why a job waits.

Its users are the command, the follower among it, and the webhook. Importing it imports no Dagster.
"""
