"""The console: pages at `/console` on which a person sees what is wrong with a lens and mends it.

It decides nothing. Each page shows what the command shows, and each button calls what the command
calls; both are what a service key may do in its environment. It is plain HTML, served by the
webhook's own process: no build step, nothing from another host, and every page works without
JavaScript.
"""
