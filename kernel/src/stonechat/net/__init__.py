"""Sockets: polling, connections, TLS, listeners, timers. Private to the kernel."""
